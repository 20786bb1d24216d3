internal import Logging

/// Whether uploads are held back, and who waits until they go on: a value, driven by UploadQueueActor.
///
/// | | uploads |
/// |---|---|
/// | not paused | go on |
/// | paused | nothing is sealed; an epoch in flight stands still before its next chunk, or before its commit |
/// | paused, and somebody syncs, or takes the disk out of use | go on for as long as that takes |
///
/// A person pauses, and only a person, or the disk's end, resumes: nothing of it is on disk.
struct UploadHold {
    var isPaused = false
    /// The disk is being taken out of use: what is dirty goes up, and flushes do not wait for a remote that refuses.
    var isLeaving = false
    /// Explicit wishes under way that everything be on the remote.
    var wishes = 0
    private var waiting: [CheckedContinuation<Void, Never>] = []

    var isHeld: Bool { isPaused && !isLeaving && wishes == 0 }

    mutating func wait(_ continuation: CheckedContinuation<Void, Never>) { waiting.append(continuation) }

    /// Lets those go who wait; each looks again whether it may go on.
    mutating func release() {
        let released = waiting
        waiting = []
        for waiter in released { waiter.resume() }
    }
}

extension UploadQueueActor {
    /// Uploads nothing more of its own accord, until `resume` or the disk's end.
    func pause() {
        if !hold.isPaused { logger.notice("uploads are paused") }
        hold.isPaused = true
    }

    func resume() {
        if hold.isPaused { logger.notice("uploads go on") }
        hold.isPaused = false
        goOn()
    }

    /// From here to `endWish` everything is uploaded, paused or not.
    func beginWish() {
        hold.wishes += 1
        goOn()
    }

    func endWish() { hold.wishes -= 1 }

    /// Takes up what a pause has held back, unless it goes on.
    func goOn() {
        guard !hold.isHeld else { return }
        hold.release()
        // Flushes may wait for an epoch, and the timekeeper's last wake-ups came to nothing.
        wake()
    }

    /// Returns when an epoch in flight may take its next step.
    ///
    /// - Throws: why the disk ends, when it ends before.
    func untilGoing() async throws(DiskError) {
        while hold.isHeld, !isStopping { await withCheckedContinuation { hold.wait($0) } }
        if hold.isHeld { throw finalError }
    }
}
