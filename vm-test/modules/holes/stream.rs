// SPDX-License-Identifier: GPL-2.0

//! A stream whose tree is dropped while tasks poll and read it.
//!
//! In `rust_smpboot_holes/`, `stream` is the stream, `idle` a stream that has only empty records.
//! In `rust_smpboot_holes_control/`:
//!
//! | file | takes | |
//! |---|---|---|
//! | `push` | number | adds this number of records, each a newline |
//! | `hold` | 0 or 1 | a reader that found a record waits until this is 0 |
//! | `held` | | how often a reader has found a record, in `idle`, too |
//! | `drop` | anything | drops the tree |
//! | `spin` | CPU | a FIFO thread keeps that CPU until the tree has been dropped |
//! | `spinning` | | whether it does |

use crate::{
    debugfs::{
        Attribute,
        Number,
        RecordBytes,
        Stream,
        Tree, //
    },
    hotplug_thread,
    smpboot::{
        Context,
        HotplugThread,
        ModuleScope,
        Registration,
        SchedPolicy, //
    },
    wait::WaitQueue, //
};
use kernel::{
    cpu::CpuId,
    new_mutex,
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    time::{
        delay::{
            fsleep,
            udelay, //
        },
        Delta, //
    }, //
};

type Counter = Atomic<u64>;

/// State that outlives the tree.
pub(crate) struct State {
    pushed: Counter,
    hold: Counter,
    held: Counter,
    spinning: Counter,
    dropped: Atomic<bool>,
}

impl State {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let state = Self {
            pushed: Atomic::new(0),
            hold: Atomic::new(0),
            held: Atomic::new(0),
            spinning: Atomic::new(0),
            dropped: Atomic::new(false),
        };
        Ok(Arc::new(state, GFP_KERNEL)?)
    }
}

pub(crate) struct Source {
    state: Arc<State>,
    queue: Arc<WaitQueue>,
}

struct Reader {
    read: u64,
    /// Number of records when the read began.
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

/// A stream that never ends, of records without a byte.
struct Idle;

impl Stream for Idle {
    type Data = Source;
    type Reader = ();
    type Record = Arc<State>;

    fn open(_source: &Source) -> Result {
        Ok(())
    }

    fn is_ready(_source: &Source, (): &()) -> bool {
        true
    }

    fn begin(_source: &Source, (): &mut ()) {}

    fn peek(source: &Source, (): &()) -> Option<Arc<State>> {
        Some(source.state.clone())
    }

    fn advance((): &mut (), _state: &Arc<State>) {}

    fn write(state: &Arc<State>, _bytes: &mut RecordBytes) -> Result {
        state.held.add(1, Relaxed);
        Ok(())
    }
}

/// Keeps all threads that are not real-time off its CPU.
struct Spinner(Arc<State>);

#[vtable]
impl HotplugThread for Spinner {
    const NAME: &'static CStr = c"hole_spin";

    type Local = ();

    fn sched_policy(&self) -> SchedPolicy {
        SchedPolicy::Fifo
    }

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        self.0.spinning.store(1, Relaxed);
        while !self.0.dropped.load(Relaxed) && !cx.should_stop() {
            udelay(Delta::from_micros(100));
        }
        self.0.spinning.store(0, Relaxed);
    }
}

hotplug_thread!(Spinner);

#[pin_data]
struct Control {
    state: Arc<State>,
    spinner: Registration<Spinner>,
    #[pin]
    tree: Mutex<Option<Tree<Source>>>,
}

struct Push;

#[vtable]
impl Attribute for Push {
    type Data = Control;

    fn store(control: &Control, input: &CStr) -> Result {
        let tree = control.tree.lock();
        let tree = tree.as_ref().ok_or(ENOENT)?;
        tree.state.pushed.fetch_add(<Number>::parse(input)?, Full);
        tree.queue.notify();
        Ok(())
    }
}

struct Drop;

#[vtable]
impl Attribute for Drop {
    type Data = Control;

    fn store(control: &Control, _input: &CStr) -> Result {
        let tree = control.tree.lock().take();
        drop(tree);
        control.state.dropped.store(true, Relaxed);
        Ok(())
    }
}

struct Spin;

#[vtable]
impl Attribute for Spin {
    type Data = Control;

    fn store(control: &Control, input: &CStr) -> Result {
        let cpu = Number::<0, { u32::MAX as u64 }>::parse(input)? as u32;
        control.spinner.wake(CpuId::from_u32(cpu).ok_or(ERANGE)?);
        Ok(())
    }
}

pub(crate) struct Held {
    _control: Tree<Control>,
}

pub(crate) fn tree(scope: &'static ModuleScope, state: &Arc<State>) -> Result<Tree<Source>> {
    let queue = WaitQueue::new(c"hole_stream", static_lock_class!());
    let source = Source {
        state: state.clone(),
        queue: Arc::pin_init(queue, GFP_KERNEL)?,
    };
    Tree::new(scope, c"rust_smpboot_holes", source, |source, dir| {
        dir.stream::<Records>(c"stream", source, &source.queue);
        dir.stream::<Idle>(c"idle", source, &source.queue);
    })
}

pub(crate) fn begin(scope: &'static ModuleScope) -> Result<Held> {
    let state = State::new()?;
    let stream = tree(scope, &state)?;
    let control = try_pin_init!(Control {
        spinner: Registration::new(scope, Spinner(state.clone()))?,
        state,
        tree <- new_mutex!(Some(stream)),
    }? Error);
    let control = Tree::new(
        scope,
        c"rust_smpboot_holes_control",
        control,
        |control, dir| {
            dir.file::<Push>(c"push", control);
            dir.file::<Number<0, 1>>(c"hold", &control.state.hold);
            dir.file::<Counter>(c"held", &control.state.held);
            dir.file::<Drop>(c"drop", control);
            dir.file::<Spin>(c"spin", control);
            dir.file::<Counter>(c"spinning", &control.state.spinning);
        },
    )?;
    Ok(Held { _control: control })
}
