// SPDX-License-Identifier: GPL-2.0

//! The virtio-serial port to the host.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};
use wire::stopwatch::Stopwatch;
use wire::{Message, PORT_NAME, frame};

#[derive(Clone)]
pub struct Port(Arc<Mutex<File>>);

impl Port {
    /// Opens the port: a shared end to write to, and an end to read from.
    pub fn open() -> io::Result<(Port, File)> {
        let file = File::options().read(true).write(true).open(find()?)?;
        let reader = file.try_clone()?;
        Ok((Port(Arc::new(Mutex::new(file))), reader))
    }

    pub fn send(&self, message: &Message) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frame::send(&mut *file, message)
    }

    /// Sends nothing while `sleep` suspends the guest. Afterwards the driver does not notice that
    /// the host is connected, and is bound again.
    pub fn asleep(&self, sleep: impl FnOnce() -> nix::Result<()>) -> io::Result<Slept> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let device = fs::canonicalize(class_of(&find()?).join("device"))?;
        let device = device.file_name().unwrap_or_default().as_encoded_bytes();
        let result = sleep();
        fs::write(format!("{DRIVER}/unbind"), device)?;
        fs::write(format!("{DRIVER}/bind"), device)?;
        *file = File::options().read(true).write(true).open(find()?)?;
        Ok(Slept { result, reader: file.try_clone()? })
    }

    /// Lets the host distinguish a guest that is stuck in a call from one that hangs.
    pub fn start_heartbeat(&self) {
        let port = self.clone();
        thread::spawn(move || {
            while port.send(&Message::Alive).is_ok() {
                thread::sleep(Duration::from_secs(1));
            }
        });
    }
}

/// The result of a suspend.
pub struct Slept {
    pub result: nix::Result<()>,
    /// The new end to read from; the earlier one no longer works.
    pub reader: File,
}

const CLASS: &str = "/sys/class/virtio-ports";
const DRIVER: &str = "/sys/bus/virtio/drivers/virtio_console";

fn class_of(node: &Path) -> PathBuf {
    Path::new(CLASS).join(node.file_name().unwrap_or_default())
}

/// Waits for the port: a work item of the driver creates it.
fn find() -> io::Result<PathBuf> {
    let mut watch = Stopwatch::start();
    loop {
        if let Some(path) = look()? {
            return Ok(path);
        }
        if watch.elapsed() > Duration::from_secs(20) {
            return Err(io::Error::other(format!("no virtio-serial port {PORT_NAME}")));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn look() -> io::Result<Option<PathBuf>> {
    let Ok(ports) = fs::read_dir(CLASS) else {
        return Ok(None);
    };
    for port in ports {
        let port = port?;
        let node = PathBuf::from("/dev").join(port.file_name());
        let name = fs::read_to_string(port.path().join("name")).unwrap_or_default();
        if name.trim() == PORT_NAME && node.exists() {
            return Ok(Some(node));
        }
    }
    Ok(None)
}
