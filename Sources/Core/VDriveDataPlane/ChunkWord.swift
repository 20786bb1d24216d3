internal import VDriveModel

/// The state of one chunk in one 64-bit word, and the arithmetic on it.
///
///     bits   field     meaning                                                    who may change it
///     0–1    presence  unknown · hole · partial · full                            CacheActor
///     2      dirty     the slot holds dirty pages; writes may hit                 CacheActor
///     3      closing   no new pins: a change of state is under way                CacheActor
///     4–5    uses      uses since the policy last looked, saturating at 3         whoever pins; cleared: CacheActor
///     6      marked    fetched before anybody asked: the next access is no use,   set: CacheActor, cleared: any
///                      asks for more read-ahead, and clears it
///     7      reserved  0
///     8–19   pins      threads that do I/O on the chunk in the cache file         whoever pins
///     20–43  slot      number of the page set, 0 when there is none               CacheActor, closing and unpinned
///     44–63  tick      coarse time of the last access, wrapping                   whoever pins
///
/// A zero word means "unknown: ask the engine", so that a fresh mapping of zero pages describes a disk of any size.
/// A full chunk without a slot is clean. A partial chunk always has a slot, a dirty one too.
///
/// A *use* is an access in another period than the access before it, a period being `ticksPerPeriod` ticks. A reader
/// that passes through a chunk in a hundred requests has used it once, which is what bringing it in stands for.
package struct ChunkWord: Equatable, Sendable {
    package enum Presence: UInt64, Sendable {
        /// Nothing is known here; the engine must be asked.
        case unknown = 0
        /// Unallocated: reads as zeros.
        case hole = 1
        /// The pages in the slot's set are in the cache file.
        case partial = 2
        /// Every page is in the cache file.
        case full = 3
    }

    package static let pinsMax = 0xFFF
    package static let slotsMax = 0xFF_FFFF
    package static let tickMask: UInt64 = 0xF_FFFF
    package static let ticksPerPeriod: UInt64 = 32

    @usableFromInline static let periodMask = tickMask & ~(ticksPerPeriod - 1)

    @usableFromInline static let onePin: UInt64 = 1 << 8

    package var bits: UInt64

    @inlinable package init(bits: UInt64) { self.bits = bits }

    package init(presence: Presence, dirty: Bool = false, slot: Int = 0, tick: UInt64 = 0) {
        precondition((0...Self.slotsMax).contains(slot), "slot \(slot) is out of range")
        precondition(presence != .partial || slot != 0, "a partial chunk has a page set")
        precondition(!dirty || slot != 0, "a dirty chunk has a page set")
        bits = presence.rawValue | (dirty ? 4 : 0) | UInt64(slot) << 20 | (tick & Self.tickMask) << 44
    }

    @inlinable package var presence: Presence { Presence(rawValue: bits & 3).unsafelyUnwrapped }
    @inlinable package var isResident: Bool { bits & 2 != 0 }
    @inlinable package var isDirty: Bool { bits & 4 != 0 }
    @inlinable package var isClosing: Bool { bits & 8 != 0 }
    @inlinable package var isMarked: Bool { bits & 64 != 0 }
    @inlinable package var uses: Int { Int(bits >> 4 & 3) }
    @inlinable package var pins: Int { Int(bits >> 8 & 0xFFF) }
    @inlinable package var slot: Int { Int(bits >> 20 & 0xFF_FFFF) }
    @inlinable package var tick: UInt64 { bits >> 44 }

    @inlinable package func closing(_ closing: Bool) -> ChunkWord {
        ChunkWord(bits: closing ? bits | 8 : bits & ~8)
    }

    @inlinable package func marked(_ marked: Bool) -> ChunkWord {
        ChunkWord(bits: marked ? bits | 64 : bits & ~64)
    }

    @inlinable package func withoutUses() -> ChunkWord { ChunkWord(bits: bits & ~0x30) }

    /// The access noted, the mark taken.
    @inlinable package func accessed(tick: UInt64) -> ChunkWord {
        let isUse = (bits >> 44 ^ tick) & Self.periodMask != 0 && bits & 0x40 == 0 && bits & 0x30 != 0x30
        let history: UInt64 = Self.tickMask << 44 | 0x40
        return ChunkWord(bits: (isUse ? bits + 0x10 : bits) & ~history | (tick & Self.tickMask) << 44)
    }

    /// One pin more, the access noted, the mark taken.
    @inlinable package func pinned(tick: UInt64) -> ChunkWord {
        ChunkWord(bits: accessed(tick: tick).bits + Self.onePin)
    }

    /// A chunk that has just come into the cache: what was before is no history of it.
    package func begun(tick: UInt64) -> ChunkWord {
        let history: UInt64 = Self.tickMask << 44 | 0x70
        return ChunkWord(bits: bits & ~history | (tick & Self.tickMask) << 44)
    }

    /// Another state with the access history (uses, tick) and the pins of this one.
    package func becoming(_ presence: Presence, dirty: Bool, slot: Int) -> ChunkWord {
        let history: UInt64 = Self.tickMask << 44 | 0xFFF << 8 | 0x30 | 8
        return ChunkWord(bits: ChunkWord(presence: presence, dirty: dirty, slot: slot).bits | bits & history)
    }
}
