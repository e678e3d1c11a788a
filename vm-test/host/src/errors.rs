// SPDX-License-Identifier: GPL-2.0

//! Errors of calls: the guest does not answer, or its kernel refuses.

use nix::errno::Errno;
use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Why the guest did not answer. Further calls to the VM fail at once. `doing` is the call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields explain themselves")]
pub enum NoAnswer {
    /// QEMU exited, though the host had not asked for it.
    Exited { doing: String, reason: String },
    /// The guest's user space responds, but the call has not returned.
    TimedOut { doing: String, limit: Duration },
    /// The guest has sent nothing at all.
    Silent { doing: String, limit: Duration },
    /// The guest's agent, or QEMU, has sent bytes that are no message.
    Malformed { doing: String, reason: String },
}

impl NoAnswer {
    /// Whether the guest exists and can be examined.
    pub fn is_hang(&self) -> bool {
        matches!(self, NoAnswer::TimedOut { .. } | NoAnswer::Silent { .. })
    }
}

impl Display for NoAnswer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            NoAnswer::Exited { doing, reason } => {
                write!(f, "QEMU exited unexpectedly ({reason}) during '{doing}'")
            }
            NoAnswer::TimedOut { doing, limit } => {
                let seconds = limit.as_secs_f64();
                write!(f, "timed out after {seconds:.1} s: {doing} (the guest still responds)")
            }
            NoAnswer::Silent { doing, limit } => {
                let seconds = limit.as_secs_f64();
                write!(f, "the guest hung: silent for {seconds:.1} s during '{doing}'")
            }
            NoAnswer::Malformed { doing, reason } => {
                write!(f, "invalid message from the guest agent ({reason}) during '{doing}'")
            }
        }
    }
}

impl Error for NoAnswer {}

/// The guest's kernel refused a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The call.
    pub doing: String,
    /// The error that it returned.
    pub errno: Errno,
}

impl Display for Refused {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} ({})", self.doing, self.errno, self.errno.desc())
    }
}

impl Error for Refused {}

/// The errno of a call that must be refused; fails if it was not.
pub fn refused<T: fmt::Debug>(result: anyhow::Result<T>) -> anyhow::Result<Errno> {
    match result {
        Ok(value) => anyhow::bail!("expected a refusal, got {value:?}"),
        Err(e) => e.downcast::<Refused>().map(|refused| refused.errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_wants_a_refusal() {
        let no = Refused { doing: "write".into(), errno: Errno::EINVAL };
        assert_eq!(refused::<()>(Err(no.into())).unwrap(), Errno::EINVAL);
        assert!(refused(Ok(3)).unwrap_err().to_string().contains("got 3"));
        assert!(refused::<()>(Err(anyhow::anyhow!("other"))).is_err());
    }
}
