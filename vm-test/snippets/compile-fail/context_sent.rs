//! The contexts of callbacks: a context stays with its task.
//~ ERROR cannot be sent between threads safely
fn send<T: Send>(_: T) {}

pub fn leak(cx: Context<'_>) {
    send(cx);
}
