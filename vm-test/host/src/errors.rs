// SPDX-License-Identifier: GPL-2.0

//! Ways in which the guest fails to answer, or answers with no.

use nix::errno::Errno;
use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// After one of these there is no more talking to the VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// QEMU ended, though nobody had asked it to.
    Died {
        doing: String,
        how: String,
    },
    /// The guest's user space is alive, but the call has not come back.
    TookTooLong {
        doing: String,
        limit: Duration,
    },
    /// Not even a sign of life.
    Silent {
        doing: String,
        limit: Duration,
    },
    Garbled {
        doing: String,
        what: String,
    },
}

impl Trouble {
    /// There is somebody left who can be asked why.
    pub fn is_hang(&self) -> bool {
        matches!(self, Trouble::TookTooLong { .. } | Trouble::Silent { .. })
    }
}

impl Display for Trouble {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Died { doing, how } => write!(f, "the VM died ({how}); it was to: {doing}"),
            Trouble::TookTooLong { doing, limit } => write!(
                f,
                "took too long: after {:.1} s the guest is alive, but has not finished to: {doing}",
                limit.as_secs_f64()
            ),
            Trouble::Silent { doing, limit } => write!(
                f,
                "the guest hangs: no output for {:.1} s; it was to: {doing}",
                limit.as_secs_f64()
            ),
            Trouble::Garbled { doing, what } => {
                write!(f, "the agent talks rubbish ({what}); it was to: {doing}")
            }
        }
    }
}

impl Error for Trouble {}

/// The guest's kernel said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub doing: String,
    pub errno: Errno,
}

impl Display for Refused {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} ({})", self.doing, self.errno, self.errno.desc())
    }
}

impl Error for Refused {}

/// For what must be refused: the errno.
pub fn refused<T: fmt::Debug>(result: anyhow::Result<T>) -> anyhow::Result<Errno> {
    match result {
        Ok(value) => anyhow::bail!("this should have been refused, and gave {value:?}"),
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
        assert!(refused(Ok(3)).unwrap_err().to_string().contains("gave 3"));
        assert!(refused::<()>(Err(anyhow::anyhow!("other"))).is_err());
    }
}
