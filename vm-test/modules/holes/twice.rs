// SPDX-License-Identifier: GPL-2.0

//! Two tasks that remove the files of one tree, while one of them is being read.
//!
//! The first is the one whose `init` fails, and so closes the scope; the second is a thread that drops
//! the tree. Only `init` can have this: a module that is being unloaded has no open file.

use crate::{
    debugfs::{
        RecordBytes,
        Stream,
        Tree, //
    },
    hotplug_thread,
    smpboot::{
        Context,
        HotplugThread,
        ModuleScope,
        Registration, //
    },
    wait::WaitQueue, //
};
use core::fmt::Write;
use kernel::{
    cpu::CpuId,
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Completion, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// What is read, and freed with the tree.
const NUMBER: u64 = 42;

/// How long a reader waits for a tree that must not be dropped before it has ended.
const PATIENCE_MS: usize = 2000;

/// How far the tasks have come.
#[pin_data]
struct Steps {
    dropped: Atomic<bool>,
    #[pin]
    reading: Completion,
    #[pin]
    closed: Completion,
}

#[pin_data]
struct Data {
    number: Atomic<u64>,
    steps: Arc<Steps>,
    #[pin]
    queue: WaitQueue,
}

/// Tells when the open file is closed.
struct Reader {
    steps: Arc<Steps>,
    read: u32,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.steps.closed.complete_all();
    }
}

enum Record {
    /// Without a byte: waits until the tree has been dropped.
    Wait(Arc<Steps>),
    Number(u64),
}

struct Slow;

impl Stream for Slow {
    type Data = Data;
    type Reader = Reader;
    type Record = Record;

    fn open(data: &Data) -> Result<Reader> {
        Ok(Reader {
            steps: data.steps.clone(),
            read: 0,
        })
    }

    fn queue(data: &Data) -> &WaitQueue {
        &data.queue
    }

    fn is_ready(_data: &Data, reader: &Reader) -> bool {
        reader.read < 2
    }

    fn begin(_data: &Data, _reader: &mut Reader) {}

    fn peek(data: &Data, reader: &Reader) -> Option<Record> {
        match reader.read {
            0 => Some(Record::Wait(reader.steps.clone())),
            1 => Some(Record::Number(data.number.load(Relaxed))),
            _ => None,
        }
    }

    fn advance(reader: &mut Reader, _record: &Record) {
        reader.read += 1;
    }

    fn write(record: &Record, bytes: &mut RecordBytes) -> Result {
        match record {
            Record::Wait(steps) => {
                steps.reading.complete_all();
                for _ in 0..PATIENCE_MS {
                    if steps.dropped.load(Relaxed) {
                        break;
                    }
                    fsleep(Delta::from_millis(1));
                }
                Ok(())
            }
            Record::Number(number) => {
                pr_info!("read {number}\n");
                writeln!(bytes, "{number}").map_err(|_| EOVERFLOW)
            }
        }
    }
}

struct Dropper {
    scope: &'static ModuleScope,
    steps: Arc<Steps>,
}

impl Dropper {
    fn tree(&self) -> Result<Pin<KBox<Tree<Data>>>> {
        let data = try_pin_init!(Data {
            number: Atomic::new(NUMBER),
            steps: self.steps.clone(),
            queue <- WaitQueue::new(c"hole_twice", static_lock_class!()),
        }? Error);
        KBox::pin_init(
            Tree::new(
                self.scope,
                c"rust_smpboot_holes_twice",
                data,
                |data, dir| {
                    dir.stream::<Slow>(c"slow", data);
                },
            ),
            GFP_KERNEL,
        )
    }
}

#[vtable]
impl HotplugThread for Dropper {
    const NAME: &'static CStr = c"hole_twice";

    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {
        let Ok(tree) = self.tree() else {
            return;
        };
        while !crate::is_closed(self.scope) {
            fsleep(Delta::from_millis(1));
        }
        // Entries of the scope are ended right after it was closed.
        fsleep(Delta::from_millis(50));
        drop(tree);
        self.steps.dropped.store(true, Relaxed);
        // An `init` that fails does not wait for open files.
        self.steps.closed.wait_for_completion();
        fsleep(Delta::from_millis(100));
    }
}

hotplug_thread!(Dropper);

pub(crate) fn begin(scope: &'static ModuleScope) -> Result {
    let steps = Arc::pin_init(
        pin_init!(Steps {
            dropped: Atomic::new(false),
            reading <- Completion::new(),
            closed <- Completion::new(),
        }),
        GFP_KERNEL,
    )?;
    let dropper = Dropper {
        scope,
        steps: steps.clone(),
    };
    let threads = Registration::new(scope, dropper)?;
    threads.wake(CpuId::current());
    core::mem::forget(threads);
    steps.reading.wait_for_completion();
    Err(EIO)
}
