// SPDX-License-Identifier: GPL-2.0

//! The virtio-serial port to the host.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};
use wire::stopwatch::Stopwatch;
use wire::{Message, PORT_NAME, Request, frame};

#[derive(Clone)]
pub struct Port(Arc<Mutex<End>>);

/// The guest's end.
struct End {
    file: File,
    /// Whether the host was connected once.
    connected: bool,
    /// How often the device was bound again.
    renewals: u32,
}

impl Port {
    pub fn open() -> io::Result<Port> {
        let end = End { file: open()?, connected: false, renewals: 0 };
        Ok(Port(Arc::new(Mutex::new(end))))
    }

    pub fn send(&self, message: &Message) -> io::Result<()> {
        let mut end = self.end();
        if end.connected && has_hung_up(&end.file)? {
            end.renew()?;
        }
        frame::send(&mut end.file, message)?;
        end.connected = true;
        Ok(())
    }

    pub fn receive(&self) -> io::Result<Request> {
        loop {
            let (mut reader, renewals) = {
                let end = self.end();
                (end.file.try_clone()?, end.renewals)
            };
            match frame::receive(&mut reader) {
                // The heartbeat has renewed the port.
                Err(_) if self.end().renewals > renewals => {}
                result => return result,
            }
        }
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

impl End {
    /// Binds the driver to the device again. After a suspend or a hibernation the driver does not
    /// notice that the host is connected.
    fn renew(&mut self) -> io::Result<()> {
        let device = fs::canonicalize(class_of(&find()?).join("device"))?;
        let device = device.file_name().unwrap_or_default().as_encoded_bytes();
        fs::write(format!("{DRIVER}/unbind"), device)?;
        fs::write(format!("{DRIVER}/bind"), device)?;
        self.file = open()?;
        self.renewals += 1;
        Ok(())
    }
}

fn open() -> io::Result<File> {
    File::options().read(true).write(true).open(find()?)
}

/// Whether the driver takes the host as not connected.
fn has_hung_up(file: &File) -> io::Result<bool> {
    let mut files = [PollFd::new(file.as_fd(), PollFlags::empty())];
    poll(&mut files, PollTimeout::ZERO)?;
    Ok(files[0].revents().is_some_and(|seen| seen.contains(PollFlags::POLLHUP)))
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
