//! Faults as ordinary wrappers: storage that fails or loses its power, and a network that loses requests or
//! answers, each at a chosen operation. Cuts within one write are the business of the flash simulator.

use core::cell::Cell;
use std::rc::Rc;

use agent_core::platform::{
    ClientIdentity, Record, Reply, Request, Server, Storage, StorageError, Transport, TransportError,
};

/// Counts operations and says which one goes wrong. Clones share the count, so that one plan can cover storage
/// and transport of a device together.
#[derive(Clone, Debug)]
pub struct Plan {
    done: Rc<Cell<u64>>,
    fault: Fault,
    at: u64,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing; operations are counted.
    #[default]
    None,
    /// The operation fails, without effect.
    Once,
    /// Power is cut before the operation: neither it nor any later one happens.
    CutBefore,
    /// Power is cut after the operation took effect and before anybody heard of it: an answer is lost, a record
    /// is written all the same.
    CutAfter,
    /// The operation takes effect, but its outcome is lost; later ones go well.
    OutcomeLost,
}

enum Verdict {
    Go,
    Fail,
    GoThenFail,
}

impl Plan {
    /// `fault` at the operation number `at`, counted from 0.
    #[must_use]
    pub fn new(fault: Fault, at: u64) -> Self {
        Self { done: Rc::new(Cell::new(0)), fault, at }
    }

    /// Number of operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.done.get()
    }

    /// Whether the fault has happened.
    #[must_use]
    pub fn struck(&self) -> bool {
        self.fault != Fault::None && self.done.get() > self.at
    }

    fn next(&self) -> Verdict {
        let number = self.done.get();
        self.done.set(number + 1);
        match self.fault {
            Fault::Once if number == self.at => Verdict::Fail,
            Fault::CutBefore if number >= self.at => Verdict::Fail,
            Fault::CutAfter if number > self.at => Verdict::Fail,
            Fault::CutAfter | Fault::OutcomeLost if number == self.at => Verdict::GoThenFail,
            _ => Verdict::Go,
        }
    }
}

/// Storage that goes wrong as planned. Reading is not counted: it changes nothing.
#[derive(Debug)]
pub struct FaultyStorage<S> {
    inner: S,
    plan: Plan,
}

impl<S> FaultyStorage<S> {
    /// Wraps `inner`.
    pub const fn new(inner: S, plan: Plan) -> Self {
        Self { inner, plan }
    }

    /// What was wrapped, as a device finds it when power is back.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn power(&self) -> Result<(), StorageError> {
        let cut = matches!(self.plan.fault, Fault::CutBefore | Fault::CutAfter) && self.plan.struck();
        if cut { Err(StorageError::Medium) } else { Ok(()) }
    }
}

impl<S: Storage> Storage for FaultyStorage<S> {
    async fn load(&mut self, record: Record, buffer: &mut [u8]) -> Result<Option<usize>, StorageError> {
        self.power()?;
        self.inner.load(record, buffer).await
    }

    async fn store(&mut self, record: Record, content: &[u8]) -> Result<(), StorageError> {
        match self.plan.next() {
            Verdict::Go => self.inner.store(record, content).await,
            Verdict::Fail => Err(StorageError::Medium),
            Verdict::GoThenFail => {
                self.inner.store(record, content).await?;
                Err(StorageError::Medium)
            }
        }
    }

    async fn erase(&mut self, record: Record) -> Result<(), StorageError> {
        match self.plan.next() {
            Verdict::Go => self.inner.erase(record).await,
            Verdict::Fail => Err(StorageError::Medium),
            Verdict::GoThenFail => {
                self.inner.erase(record).await?;
                Err(StorageError::Medium)
            }
        }
    }
}

/// A network that goes wrong as planned.
#[derive(Debug)]
pub struct FaultyTransport<T> {
    inner: T,
    plan: Plan,
}

impl<T> FaultyTransport<T> {
    /// Wraps `inner`.
    pub const fn new(inner: T, plan: Plan) -> Self {
        Self { inner, plan }
    }
}

impl<K, T: Transport<K>> Transport<K> for FaultyTransport<T> {
    async fn exchange(
        &mut self,
        server: Server<'_>,
        identity: Option<ClientIdentity<'_, K>>,
        request: Request<'_>,
        answer: &mut [u8],
    ) -> Result<Reply, TransportError> {
        match self.plan.next() {
            Verdict::Go => self.inner.exchange(server, identity, request, answer).await,
            Verdict::Fail => Err(TransportError::Unreachable),
            Verdict::GoThenFail => {
                self.inner.exchange(server, identity, request, answer).await?;
                // Nothing of the answer may be left for the caller.
                answer.fill(0);
                Err(TransportError::Closed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultyStorage, FaultyTransport, Plan};
    use agent_core::platform::{
        ClientIdentity, Record, Reply, Request, Server, Storage, StorageError, Transport, TransportError,
    };
    use agent_core::x509::Validity;
    use shared::UnixTime;

    #[derive(Default)]
    struct Memory(Option<Vec<u8>>);

    impl Storage for Memory {
        async fn load(&mut self, _: Record, buffer: &mut [u8]) -> Result<Option<usize>, StorageError> {
            let Some(content) = &self.0 else { return Ok(None) };
            buffer.get_mut(..content.len()).ok_or(StorageError::TooLong)?.copy_from_slice(content);
            Ok(Some(content.len()))
        }

        async fn store(&mut self, _: Record, content: &[u8]) -> Result<(), StorageError> {
            self.0 = Some(content.to_vec());
            Ok(())
        }

        async fn erase(&mut self, _: Record) -> Result<(), StorageError> {
            self.0 = None;
            Ok(())
        }
    }

    /// Three writes under a fault at the second; what they answered, and what the memory holds then.
    async fn three_writes(fault: Fault) -> ([bool; 3], Vec<u8>) {
        let mut storage = FaultyStorage::new(Memory::default(), Plan::new(fault, 1));
        let mut went_well = [false; 3];
        for (content, well) in [b"a", b"b", b"c"].into_iter().zip(&mut went_well) {
            *well = storage.store(Record::State, content).await.is_ok();
        }
        (went_well, storage.into_inner().0.unwrap())
    }

    #[tokio::test]
    async fn each_fault_does_what_it_says() {
        assert_eq!(three_writes(Fault::None).await, ([true, true, true], b"c".to_vec()));
        assert_eq!(three_writes(Fault::Once).await, ([true, false, true], b"c".to_vec()));
        assert_eq!(three_writes(Fault::CutBefore).await, ([true, false, false], b"a".to_vec()));
        assert_eq!(three_writes(Fault::CutAfter).await, ([true, false, false], b"b".to_vec()));
        assert_eq!(three_writes(Fault::OutcomeLost).await, ([true, false, true], b"c".to_vec()));
    }

    #[tokio::test]
    async fn without_power_nothing_is_read() {
        let plan = Plan::new(Fault::CutAfter, 0);
        let mut storage = FaultyStorage::new(Memory::default(), plan.clone());
        assert_eq!(storage.load(Record::State, &mut [0; 4]).await, Ok(None));
        assert!(storage.store(Record::State, b"a").await.is_err());
        assert!(plan.struck());
        assert_eq!(storage.load(Record::State, &mut [0; 4]).await, Err(StorageError::Medium));
    }

    struct Echo(u32);

    impl Transport<()> for Echo {
        async fn exchange(
            &mut self,
            _: Server<'_>,
            _: Option<ClientIdentity<'_, ()>>,
            _: Request<'_>,
            answer: &mut [u8],
        ) -> Result<Reply, TransportError> {
            self.0 += 1;
            answer.fill(7);
            Ok(Reply { status: 200, length: answer.len() })
        }
    }

    #[tokio::test]
    async fn a_lost_answer_reaches_the_server_and_not_the_device() {
        let mut network = FaultyTransport::new(Echo(0), Plan::new(Fault::OutcomeLost, 0));
        let validity = Validity::At(UnixTime::from_secs(0));
        let server = Server { host: "localhost", port: 1, anchors: &[], validity };
        let request = Request { path: "/", body: None };
        let mut answer = [1; 4];
        let lost = network.exchange(server, None, request, &mut answer).await;
        assert_eq!((lost, answer), (Err(TransportError::Closed), [0; 4]));
        assert!(network.exchange(server, None, request, &mut answer).await.is_ok());
        assert_eq!(network.inner.0, 2);
    }
}
