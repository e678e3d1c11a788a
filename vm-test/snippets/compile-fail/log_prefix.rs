//! The log prefix that the library prints ends with a NUL, even if the user's crate defines it.
//~ IN THE LIBRARY'S CRATE
//~ ERROR `__LOG_PREFIX` does not end with a NUL
const __LOG_PREFIX: &[u8] = b"no end";

type LocalModule = inner::ScopedLocalModule;

pub mod inner {
    use super::*;

    pub struct Inner;

    impl ScopedModule for Inner {
        fn init(
            _module: &'static ThisModule,
            _scope: &'static ModuleScope,
        ) -> impl PinInit<Self, Error> {
            Ok(Self)
        }
    }

    crate::scoped_module! {
        type: Inner,
        name: "inner",
        license: "GPL",
    }
}
