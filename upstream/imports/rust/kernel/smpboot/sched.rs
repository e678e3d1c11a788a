use super::Context;
use crate::{
    bindings,
    prelude::*,
    task::Task, //
};
