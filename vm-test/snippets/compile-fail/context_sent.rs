//! The contexts of callbacks: a context cannot move to another task.
//~ ERROR cannot be sent between threads safely
fn send<T: Send>(_: T) {}

pub fn leak(cx: Context<'_>) {
    send(cx);
}
