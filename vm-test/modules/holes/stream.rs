// SPDX-License-Identifier: GPL-2.0

//! A stream whose readers can be held.
//!
//! In `rust_smpboot_holes/`:
//!
//! | file | takes | |
//! |---|---|---|
//! | `stream` | | the stream |
//! | `push` | number | adds so many records, each a newline |
//! | `hold` | 0 or 1 | a reader that found a record waits until this is 0 |
//! | `held` | | how often a reader has found a record |

use crate::{
    debugfs::{
        Attribute,
        RecordBytes,
        Stream,
        Tree, //
    },
    smpboot::ModuleScope,
    wait::WaitQueue, //
};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

type Number = Atomic<u64>;

struct State {
    pushed: Number,
    hold: Number,
    held: Number,
}

#[pin_data]
struct Source {
    state: Arc<State>,
    #[pin]
    queue: WaitQueue,
}

struct Reader {
    read: u64,
    /// What was there when the read began.
    end: u64,
}

struct Records;

impl Stream for Records {
    type Data = Source;
    type Reader = Reader;
    type Record = Arc<State>;

    fn open(_source: &Source) -> Result<Reader> {
        Ok(Reader { read: 0, end: 0 })
    }

    fn queue(source: &Source) -> &WaitQueue {
        &source.queue
    }

    fn is_ready(source: &Source, reader: &Reader) -> bool {
        source.state.pushed.load(Relaxed) > reader.read
    }

    fn begin(source: &Source, reader: &mut Reader) {
        reader.end = source.state.pushed.load(Relaxed);
    }

    fn peek(source: &Source, reader: &Reader) -> Option<Arc<State>> {
        (reader.end > reader.read).then(|| source.state.clone())
    }

    fn advance(reader: &mut Reader, _state: &Arc<State>) {
        reader.read += 1;
    }

    fn write(state: &Arc<State>, bytes: &mut RecordBytes) -> Result {
        state.held.add(1, Relaxed);
        while state.hold.load(Relaxed) != 0 {
            fsleep(Delta::from_millis(1));
        }
        bytes.push(b"\n")
    }
}

fn number(input: &CStr) -> Result<u64> {
    input.to_str()?.trim().parse().map_err(|_| EINVAL)
}

struct Push;

#[vtable]
impl Attribute for Push {
    type Data = Source;

    fn store(source: &Source, input: &CStr) -> Result {
        source.state.pushed.fetch_add(number(input)?, Full);
        source.queue.notify();
        Ok(())
    }
}

struct Setting;

#[vtable]
impl Attribute for Setting {
    type Data = Number;

    fn store(setting: &Number, input: &CStr) -> Result {
        setting.store(number(input)?, Relaxed);
        Ok(())
    }
}

pub(crate) struct Held {
    _tree: Pin<KBox<Tree<Source>>>,
}

pub(crate) fn begin(scope: &'static ModuleScope) -> Result<Held> {
    let state = Arc::new(
        State {
            pushed: Atomic::new(0),
            hold: Atomic::new(0),
            held: Atomic::new(0),
        },
        GFP_KERNEL,
    )?;
    let source = pin_init!(Source {
        state,
        queue <- WaitQueue::new(c"hole_stream", static_lock_class!()),
    });
    let tree = Tree::new(scope, c"rust_smpboot_holes", source, |source, dir| {
        dir.stream::<Records>(c"stream", source);
        dir.file::<Push>(c"push", source);
        dir.file::<Setting>(c"hold", &source.state.hold);
        dir.file::<Number>(c"held", &source.state.held);
    });
    Ok(Held {
        _tree: KBox::pin_init(tree, GFP_KERNEL)?,
    })
}
