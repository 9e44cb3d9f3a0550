//! What the switch acts on in a server: the store's directory, the gate, the media plane and the
//! call log.

use std::sync::Arc;

use crate::io::admission::{Gate, Rooms};
use crate::io::calls::LiveCalls;
use crate::io::shard::World;
use crate::media::Plane;
use crate::store::call_log::CallLog;
use crate::store::directory::MemoryDirectory;
use crate::switch::admission::Admission;
use crate::switch::media::{MediaCommand, PortPair};
use crate::switch::plan::Directory;
use crate::switch::record::{CallRecord, LiveCall};

/// The plane's ports and the call log's room.
pub struct Resources {
    /// Where port pairs come from.
    pub plane: Arc<dyn Plane>,
    /// Who says whether calls can be recorded.
    pub call_log: CallLog,
}

impl Rooms for Resources {
    fn take_ports(&self) -> Option<PortPair> {
        self.plane.take_ports()
    }

    fn log_has_room(&self) -> bool {
        self.call_log.has_room()
    }
}

/// The shard's view of the server.
pub struct ServerWorld {
    /// Allocations and ExoPhones.
    pub directory: Arc<MemoryDirectory>,
    /// Limits.
    pub gate: Arc<Gate<Resources>>,
    /// Media.
    pub plane: Arc<dyn Plane>,
    /// Records.
    pub call_log: CallLog,
    /// What the API shows.
    pub calls: Arc<LiveCalls>,
}

impl World for ServerWorld {
    fn directory(&self) -> &dyn Directory {
        &*self.directory
    }

    fn admission(&self) -> &dyn Admission {
        &*self.gate
    }

    fn media(&self, command: MediaCommand) {
        self.plane.perform(command);
    }

    fn live(&self, call: LiveCall) {
        self.call_log.live(call.clone());
        self.calls.put(call);
    }

    fn finished(&self, record: CallRecord) {
        // In this order a call is at no moment in neither place.
        let sid = record.call.sid;
        self.call_log.finish(record);
        self.calls.remove(sid);
    }

    fn unrecorded(&self) -> usize {
        self.calls.count()
    }
}
