//! The contexts of callbacks: only a callback gets one.
//~ ERROR associated function `new` is private
pub fn forge() {
    let _ = Context::new(0);
}
