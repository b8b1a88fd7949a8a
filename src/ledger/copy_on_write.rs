//! A file that redb can write to without changing it.
//!
//! redb verifies checksums only in a database that is open for writing, and the ledger must not change a file that it
//! refuses. So the verification uses a [`CopyOnWriteFile`]: reads come from the file, and writes stay in memory. redb
//! writes a few pages while it verifies, whatever the file's size.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use redb::StorageBackend;

const BLOCK: usize = 4096;

#[derive(Debug)]
pub(super) struct CopyOnWriteFile {
    file: File,
    state: Mutex<FileState>,
}

#[derive(Debug)]
struct FileState {
    len: u64,
    /// Bytes below this come from the file, unless they are overwritten.
    from_file: u64,
    written: HashMap<u64, Box<[u8; BLOCK]>>,
}

impl CopyOnWriteFile {
    /// `file` must be open for reading.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self {
            file,
            state: Mutex::new(FileState {
                len,
                from_file: len,
                written: HashMap::new(),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, FileState> {
        self.state.lock()
    }

    /// The file's part of `out`, which begins at `offset`; zeros where the file has ended.
    fn read_file(&self, state: &FileState, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = state.from_file.saturating_sub(offset).min(out.len() as u64) as usize;
        let (head, tail) = out.split_at_mut(there);
        tail.fill(0);
        self.file.read_exact_at(head, offset)
    }

    fn block(&self, state: &FileState, index: u64) -> io::Result<Box<[u8; BLOCK]>> {
        let mut block = Box::new([0; BLOCK]);
        self.read_file(state, index * BLOCK as u64, &mut block[..])?;
        Ok(block)
    }
}

/// The pieces of `len` bytes from `offset`, by block: the block's index, the place in it, and the place in the bytes.
fn pieces(
    offset: u64,
    len: usize,
) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % BLOCK as u64) as usize;
        let size = (BLOCK - within).min(len - done);
        let piece = (at / BLOCK as u64, within..within + size, done..done + size);
        done += size;
        (size > 0).then_some(piece)
    })
}

impl StorageBackend for CopyOnWriteFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.lock();
        if offset.saturating_add(out.len() as u64) > state.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_file(&state, offset, out)?;
        for (index, of_block, of_out) in pieces(offset, out.len()) {
            if let Some(block) = state.written.get(&index) {
                out[of_out].copy_from_slice(&block[of_block]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.lock();
        let block = len / BLOCK as u64;
        // Bytes that are cut off must be zero if the length grows again.
        state.written.retain(|index, _| *index <= block);
        if let Some(last) = state.written.get_mut(&block) {
            last[(len % BLOCK as u64) as usize..].fill(0);
        }
        state.from_file = state.from_file.min(len);
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        for (index, of_block, of_data) in pieces(offset, data.len()) {
            let mut block = match state.written.remove(&index) {
                Some(block) => block,
                None => self.block(&state, index)?,
            };
            block[of_block].copy_from_slice(&data[of_data]);
            state.written.insert(index, block);
        }
        let end = offset.saturating_add(data.len() as u64);
        state.len = state.len.max(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
        Read(u64, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let offset = 0..20_000_u64;
        prop_oneof![
            (
                offset.clone(),
                proptest::collection::vec(any::<u8>(), 1..9_000)
            )
                .prop_map(|(at, data)| Step::Write(at, data)),
            offset.clone().prop_map(Step::SetLen),
            (offset, 0..9_000_usize).prop_map(|(at, len)| Step::Read(at, len)),
        ]
    }

    proptest! {
        #[test]
        fn it_behaves_as_the_file_would_and_the_file_stays_as_it_was(
            original in proptest::collection::vec(any::<u8>(), 0..15_000),
            steps in proptest::collection::vec(step(), 1..20),
        ) {
            let mut file = tempfile::NamedTempFile::new().expect("temporary file");
            file.write_all(&original).expect("write");
            let overlay = CopyOnWriteFile::new(file.reopen().expect("reopen")).expect("overlay");
            let mut model = original.clone();
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        overlay.write(at, &data).expect("write");
                        let end = at as usize + data.len();
                        model.resize(model.len().max(end), 0);
                        model[at as usize..end].copy_from_slice(&data);
                    }
                    Step::SetLen(len) => {
                        overlay.set_len(len).expect("set_len");
                        model.resize(len as usize, 0);
                    }
                    Step::Read(at, len) => {
                        let mut out = vec![7; len];
                        let read = overlay.read(at, &mut out);
                        match model.get(at as usize..at as usize + len) {
                            Some(expected) => {
                                read.expect("read");
                                prop_assert_eq!(&out[..], expected);
                            }
                            None => prop_assert!(read.is_err(), "read past the end"),
                        }
                    }
                }
                prop_assert_eq!(overlay.len().expect("len"), model.len() as u64);
            }
            prop_assert_eq!(std::fs::read(file.path()).expect("read back"), original);
        }
    }
}
