//! The administrator's Unix socket: who may open the file may do everything, so the file is made
//! with mode 0600 and nothing is ever removed that could belong to somebody else.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

/// Longest path that fits `sockaddr_un.sun_path` with its final NUL, in bytes.
pub const MAX_SUN_PATH: usize = 107;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AdminSocketError {
    /// A server answers there.
    #[error(
        "{0}: a server is running on this store already; stop it first or use another [store] path"
    )]
    InUse(PathBuf),
    /// Something that is no socket has the name.
    #[error("{0} exists and is not a socket; move it away")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("{path}: cannot open the admin socket: {error}")]
    Io {
        /// The socket's path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The socket's name in the file system; [`SocketFile::remove`] takes it away at the end.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl SocketFile {
    /// Removes the file, unless another server's has taken its place meanwhile.
    pub fn remove(self) -> io::Result<()> {
        match identity(&self.path) {
            Ok(found) if found == self.device_and_inode => fs::remove_file(&self.path),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Listens on `path`. A file left behind by a server that died is removed, but only after a
/// connect has shown that nobody listens.
pub fn listen(path: &Path) -> Result<(UnixListener, SocketFile), AdminSocketError> {
    let io_error = |error| AdminSocketError::Io {
        path: path.to_owned(),
        error,
    };
    clear_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(io_error)?;
    // Before bind: Linux creates the file with the mode of the socket's own inode, so there is
    // no moment at which others could connect.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| io_error(e.into()))?;
    with_short_path(path, |short| socket.bind(&SockAddr::unix(short)?)).map_err(io_error)?;
    socket.listen(BACKLOG).map_err(io_error)?;
    socket.set_nonblocking(true).map_err(io_error)?;
    let file = SocketFile {
        path: path.to_owned(),
        device_and_inode: identity(path).map_err(io_error)?,
    };
    Ok((UnixListener::from(std::os::fd::OwnedFd::from(socket)), file))
}

/// Connects to a server's socket, however long its path is.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    with_short_path(path, |short| UnixStream::connect(short))
}

/// Calls `f` with a name for `path` that fits a socket address: `path` itself, or, when it is
/// too long, its file name under the open directory in `/proc/self/fd`.
pub fn with_short_path<T>(path: &Path, f: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= MAX_SUN_PATH {
        return f(path);
    }
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "no file name in the path");
    let name = path.file_name().ok_or_else(invalid)?;
    let folder = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_DIRECTORY.bits())
        .open(path.parent().ok_or_else(invalid)?)?;
    f(&Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name))
}

fn clear_stale(path: &Path) -> Result<(), AdminSocketError> {
    let io_error = |error| AdminSocketError::Io {
        path: path.to_owned(),
        error,
    };
    let kind = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(error)),
    };
    if !kind.is_socket() {
        return Err(AdminSocketError::NotASocket(path.to_owned()));
    }
    match connect(path) {
        Ok(_) => Err(AdminSocketError::InUse(path.to_owned())),
        // Nobody listens: the server that made it is gone.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(io_error)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error(error)),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn only_the_owner_may_connect() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (_listener, file) = listen(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        connect(&path).unwrap();
        file.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_file_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (listener, first) = listen(&path).unwrap();
        assert!(matches!(listen(&path), Err(AdminSocketError::InUse(p)) if p == path));
        drop(listener);
        assert!(path.exists());
        let (_listener, second) = listen(&path).unwrap();
        connect(&path).unwrap();
        // The file of the dead server was another one; its owner must not remove ours. Inode
        // numbers can be reused, in which case there is nothing to tell apart.
        if first.device_and_inode != second.device_and_inode {
            first.remove().unwrap();
            assert!(path.exists());
        }
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(
            listen(&path),
            Err(AdminSocketError::NotASocket(_))
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_path_longer_than_the_address_works() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let path = deep.join("admin.sock");
        assert!(path.as_os_str().len() > MAX_SUN_PATH);
        let (listener, file) = listen(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        connect(&path).unwrap();
        assert!(matches!(listen(&path), Err(AdminSocketError::InUse(_))));
        drop(listener);
        let (_listener, _file) = listen(&path).unwrap();
        connect(&path).unwrap();
        drop(file);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere").join("admin.sock");
        let error = listen(&path).unwrap_err().to_string();
        assert!(error.contains("nowhere"), "{error}");
    }
}
