internal import Glibc
internal import Linux
internal import VDriveFormat
internal import VDriveModel
internal import VDriveStore

/// Taking a term, and giving it back.
///
/// ## Notes on the design
/// A term belongs to whoever made its claim exclusively; the owner record inside (or beside) says who that is, the
/// release that the owner has detached the disk. The next term may be claimed
///
/// | when the highest term is | by |
/// |---|---|
/// | nobody's, or released | anybody |
/// | the same holder's (it crashed, or was shut down while attached) | that holder |
/// | another holder's, or of somebody who left no record | whoever was told to take over |
///
/// Where a server has nothing exclusive, a release proves nothing: two machines may see it at the same time. There only
/// the same holder goes on by itself.
struct TermClaim: Sendable {
    let store: any ObjectStore
    let descriptor: DiskDescriptor

    private var primitive: ClaimPrimitive? { descriptor.claimPrimitive.flatMap { ClaimPrimitive(rawValue: $0) } }
    private var claimIsFolder: Bool { primitive == .makeFolder || primitive == .makeCollection }

    struct Claimed: Sendable {
        var term: Term
        /// Another holder had the disk, and may still have changes for it.
        var tookOver: Bool
        /// This holder had the disk, and had not let go of it: nobody else could have attached it.
        var wasHeld: Bool
    }

    private enum Standing {
        case free
        case mine(isReleased: Bool)
        case others(TermOwner?)
    }

    /// Claims the next free term above all that are known.
    ///
    /// - Throws: `refused`, naming the owner, when the highest term is somebody else's and `takesOver` does not allow
    ///   that.
    func claim(
        above floor: Term,
        by holder: inout Holder,
        softwareVersion: String,
        takesOver: Bool
    ) async throws(DiskError) -> Claimed {
        var highest = max(floor, try await highestTerm(from: floor))
        var tookOver = false
        while true {
            var wasHeld = false
            switch try await standing(of: highest, holder) {
            case .free: break
            case .mine(let isReleased): wasHeld = !isReleased
            case .others(let owner):
                guard takesOver else { throw refusal(highest, owner) }
                tookOver = true
            }
            let term = highest.next
            try note(claiming: term, &holder)
            let owner = holder.owner(softwareVersion: softwareVersion)
            let outcome = try await attempt(term, owner)
            if outcome == .won { return Claimed(term: term, tookOver: tookOver, wasHeld: wasHeld) }
            // Somebody was faster, and the record of who it is may still be on its way; or it was us.
            try? await Task.sleep(for: EngineLimits.ownerRecordPatience)
            if outcome == .lost { try note(claiming: Term(0), &holder) }
            highest = term
        }
    }

    private func note(claiming term: Term, _ holder: inout Holder) throws(DiskError) {
        var noted = holder
        do throws(Errno) { try noted.note(claiming: term) } catch {
            throw DiskError(.configuration, "The state directory cannot be written: \(error).")
        }
        holder = noted
    }

    private enum Attempt {
        case won
        case lost
        /// The answer was lost: perhaps ours, perhaps not. A term is cheap, so the next one is taken.
        case unclear
    }

    private func attempt(_ term: Term, _ owner: TermOwner) async throws(DiskError) -> Attempt {
        let name = ObjectName.termOwner(term, claimIsFolder: claimIsFolder)
        do throws(StoreError) {
            if let primitive {
                do throws(StoreError) {
                    guard try await store.claim(.term(term), with: primitive) else { return .lost }
                } catch  where error.kind == .uncertain {
                    return .unclear
                }
            }
            try await store.put(name, owner.encode())
            return try await store.get(name, range: nil) == owner.encode() ? .won : .lost
        } catch {
            throw DiskError(error)
        }
    }

    /// Says that the owner has let go of the disk. The commit of everything must have counted.
    func release(_ term: Term) async throws(DiskError) {
        do throws(StoreError) {
            let owner = try await store.get(.termOwner(term, claimIsFolder: claimIsFolder), range: nil)
            try await store.put(.termRelease(term, claimIsFolder: claimIsFolder), owner)
        } catch {
            throw DiskError(error)
        }
    }

    // MARK: Who owns what

    private func standing(of term: Term, _ holder: Holder) async throws(DiskError) -> Standing {
        guard term > Term(0) else { return .free }
        do throws(StoreError) {
            let owner = try await owner(of: term)
            let release = ObjectName.termRelease(term, claimIsFolder: claimIsFolder)
            let isReleased = try await store.length(of: release) != nil
            if owner?.holder == holder.id || (owner == nil && holder.lastClaim == term) {
                return .mine(isReleased: isReleased)
            }
            return primitive != nil && isReleased ? .free : .others(owner)
        } catch {
            throw DiskError(error)
        }
    }

    /// Nil when there is no record, or none that can be read.
    private func owner(of term: Term) async throws(StoreError) -> TermOwner? {
        do throws(StoreError) {
            let bytes = try await store.get(.termOwner(term, claimIsFolder: claimIsFolder), range: nil)
            return try? TermOwner.decode(bytes)
        } catch  where error.kind == .notFound {
            return nil
        }
    }

    private func refusal(_ term: Term, _ owner: TermOwner?) -> DiskError {
        let who = owner.map { "on \($0.host) since \(Self.date($0.since))" } ?? "by somebody who left no record"
        guard primitive != nil else {
            return DiskError(
                .refused,
                "This disk was attached \(who) (term \(term)), and \(store.location) has no exclusive operation that "
                    + "could prove that it no longer is; when it is not, attach with --takeover."
            )
        }
        return DiskError(
            .refused,
            "This disk is attached \(who) (term \(term)); detach it there, or, when that machine is gone, "
                + "attach with --takeover."
        )
    }

    /// In UTC, such as 2026-11-23 14:05.
    private static func date(_ seconds: UInt64) -> String {
        var time = time_t(clamping: seconds)
        var parts = tm()
        gmtime_r(&time, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let length = strftime(&text, text.count, "%Y-%m-%d %H:%M UTC", &parts)
        return String(decoding: text.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    // MARK: Which terms there are

    /// The highest claimed term, or the floor.
    func highestTerm(from floor: Term) async throws(DiskError) -> Term {
        do throws(StoreError) {
            do throws(StoreError) {
                let listed = try await store.list(ObjectFolder.terms)
                return listed.compactMap { Self.term($0.name) }.max() ?? Term(0)
            } catch  where error.kind == .unsupported {
                // No listing: the next terms are asked for one by one. A claim without its owner record yet is not seen
                // here; the claimer reads the commits after it wrote the record.
                var highest = floor
                var candidate = floor.next
                while candidate.rawValue <= highest.rawValue + 4 {
                    let name = ObjectName.termOwner(candidate, claimIsFolder: claimIsFolder)
                    if try await store.length(of: name) != nil { highest = candidate }
                    candidate = candidate.next
                }
                return highest
            }
        } catch {
            throw DiskError(error)
        }
    }

    private static func term(_ name: String) -> Term? {
        switch ObjectRole(path: "\(ObjectFolder.terms)/\(name)") {
        case .term(let term), .termOwner(let term): term
        default: nil
        }
    }
}
