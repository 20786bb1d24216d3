/// All that the exporter tells, in the order in which it tells it. `Protocol/metrics.md` shows the same; a test holds
/// the two together.
enum Metrics {
    static let up = Metric(
        "vdrive_up",
        .gauge,
        help: "Whether the daemon answered this scrape; without it nothing else is told"
    )

    // MARK: The daemon

    static let buildInfo = Metric(
        "vdrive_build_info",
        .gauge,
        labels: ["version"],
        help: "Always 1; the daemon's release"
    )
    static let uptime = Metric(
        "vdrive_daemon_uptime_seconds",
        .gauge,
        .seconds,
        help: "How long the daemon has been running"
    )
    static let resident = Metric(
        "vdrive_daemon_resident_memory_bytes",
        .gauge,
        .bytes,
        help: "The daemon's memory in RAM"
    )
    static let openFiles = Metric("vdrive_daemon_open_files", .gauge, help: "File descriptors that the daemon holds")
    static let cpu = Metric(
        "vdrive_daemon_cpu_seconds_total",
        .counter,
        .seconds,
        help: "User and system time of the daemon"
    )
    static let connections = Metric("vdrive_daemon_connections", .gauge, help: "Clients at the control socket")
    static let accepted = Metric(
        "vdrive_daemon_connections_accepted_total",
        .counter,
        help: "Clients that ever were there"
    )
    static let calls = Metric("vdrive_daemon_calls_total", .counter, help: "Calls that the daemon has answered")
    static let callsFailed = Metric(
        "vdrive_daemon_call_failures_total",
        .counter,
        help: "Of these, the ones that failed"
    )

    // MARK: What a disk is

    static let diskInfo = Metric(
        "vdrive_disk_info",
        .gauge,
        labels: ["disk", "uuid", "remote"],
        help: "Always 1; one a disk"
    )
    static let diskState = Metric(
        "vdrive_disk_state",
        .gauge,
        labels: ["disk", "state"],
        help: "1 for the state that the disk is in, 0 for every other one"
    )
    static let size = Metric("vdrive_disk_size_bytes", .gauge, .bytes, labels: ["disk"], help: "The disk's size")
    static let allocated = Metric(
        "vdrive_disk_allocated_bytes",
        .gauge,
        .bytes,
        labels: ["disk"],
        help: "Of the disk, what holds data, in whole chunks"
    )
    static let warnings = Metric(
        "vdrive_disk_warnings",
        .gauge,
        labels: ["disk"],
        help: "Warnings in the disk's status"
    )
    static let damaged = Metric(
        "vdrive_disk_damaged_objects",
        .gauge,
        labels: ["disk"],
        help: "Objects that were asked for since the attach, and are missing or damaged on the remote"
    )
    static let epoch = Metric(
        "vdrive_disk_epoch",
        .gauge,
        labels: ["disk"],
        stability: .experimental,
        help: "The last committed epoch"
    )
    static let cacheLimit = Metric(
        "vdrive_cache_limit_bytes",
        .gauge,
        .bytes,
        labels: ["disk"],
        help: "The cache's hard limit"
    )
    static let cacheUsed = Metric(
        "vdrive_cache_used_bytes",
        .gauge,
        .bytes,
        labels: ["disk"],
        help: "What the cache takes of its filesystem"
    )
    static let cacheDirty = Metric(
        "vdrive_cache_dirty_bytes",
        .gauge,
        .bytes,
        labels: ["disk"],
        help: "What is in the cache and not committed on the remote"
    )
    static let cachePinned = Metric(
        "vdrive_cache_pinned_bytes",
        .gauge,
        .bytes,
        labels: ["disk"],
        help: "What is to stay in the cache, whether it is there or not yet"
    )
    static let pending = Metric(
        "vdrive_upload_pending_bytes",
        .gauge,
        .bytes,
        labels: ["disk"],
        help: "Raw bytes of the epoch under way that are not on the remote yet"
    )
    static let remoteState = Metric(
        "vdrive_remote_state",
        .gauge,
        labels: ["disk", "state"],
        help: "1 for the state that the remote is in, 0 for every other one"
    )

    // MARK: What a disk has done since it was attached

    static let requests = Metric(
        "vdrive_requests_total",
        .counter,
        labels: ["disk", "operation", "cache"],
        help: "Requests of the guest: read, write, flush and trim, reads and writes as cache hit or miss"
    )
    static let requestErrors = Metric(
        "vdrive_request_errors_total",
        .counter,
        labels: ["disk", "operation"],
        help: "Requests that the guest got an error for"
    )
    static let requestBytes = Metric(
        "vdrive_request_bytes_total",
        .counter,
        .bytes,
        labels: ["disk", "operation"],
        help: "Bytes that the guest read, wrote and trimmed"
    )
    static let requestDuration = Metric(
        "vdrive_request_duration_seconds",
        .histogram,
        .seconds,
        labels: ["disk", "operation", "cache"],
        help: "How long the guest's requests took; of the hits one in 64 is timed, and counts 64 times"
    )
    static let fills = Metric("vdrive_cache_fills_total", .counter, labels: ["disk"], help: "Fetches into the cache")
    static let filled = Metric(
        "vdrive_cache_filled_bytes_total",
        .counter,
        .bytes,
        labels: ["disk"],
        help: "Bytes that fetches brought into the cache"
    )
    static let readAhead = Metric(
        "vdrive_cache_read_ahead_bytes_total",
        .counter,
        .bytes,
        labels: ["disk"],
        help: "Bytes fetched before anybody asked for them"
    )
    static let readAheadUnused = Metric(
        "vdrive_cache_read_ahead_unused_bytes_total",
        .counter,
        .bytes,
        labels: ["disk"],
        stability: .experimental,
        help: "Of these, evicted before anybody read them"
    )
    static let evictedChunks = Metric(
        "vdrive_cache_evicted_chunks_total",
        .counter,
        labels: ["disk"],
        help: "Chunks evicted from the cache"
    )
    static let evicted = Metric(
        "vdrive_cache_evicted_bytes_total",
        .counter,
        .bytes,
        labels: ["disk"],
        help: "Bytes evicted from the cache"
    )
    static let commits = Metric(
        "vdrive_commits_total",
        .counter,
        labels: ["disk"],
        help: "Epochs committed on the remote"
    )
    static let commitDuration = Metric(
        "vdrive_commit_duration_seconds",
        .histogram,
        .seconds,
        labels: ["disk"],
        help: "From the seal of an epoch until its commit counts"
    )
    static let uploadedChunks = Metric(
        "vdrive_uploaded_chunks_total",
        .counter,
        labels: ["disk"],
        help: "Chunk objects put on the remote"
    )
    static let uploadedRaw = Metric(
        "vdrive_uploaded_raw_bytes_total",
        .counter,
        .bytes,
        labels: ["disk"],
        help: "Bytes of the uploaded chunks before compression"
    )
    static let uploadedStored = Metric(
        "vdrive_uploaded_stored_bytes_total",
        .counter,
        .bytes,
        labels: ["disk"],
        help: "Bytes of the uploaded chunks' objects"
    )
    static let remoteRequests = Metric(
        "vdrive_remote_requests_total",
        .counter,
        labels: ["disk", "operation"],
        help: "Requests to the remote that ended, every retry counted"
    )
    static let remoteFailures = Metric(
        "vdrive_remote_request_failures_total",
        .counter,
        labels: ["disk", "operation"],
        help: "Of these, the ones that failed; that an object is missing is no failure"
    )
    static let remoteRetries = Metric(
        "vdrive_remote_retries_total",
        .counter,
        labels: ["disk"],
        help: "Requests to the remote that were made again"
    )
    static let remoteReceived = Metric(
        "vdrive_remote_received_bytes_total",
        .counter,
        .bytes,
        labels: ["disk"],
        help: "Bytes of objects that came from the remote"
    )
    static let remoteSent = Metric(
        "vdrive_remote_sent_bytes_total",
        .counter,
        .bytes,
        labels: ["disk"],
        help: "Bytes of objects that went to the remote"
    )
    static let remoteDuration = Metric(
        "vdrive_remote_request_duration_seconds",
        .histogram,
        .seconds,
        labels: ["disk", "operation"],
        help: "How long requests to the remote took: get, put, and all other ones together"
    )

    static let all = [
        up, buildInfo, uptime, resident, openFiles, cpu, connections, accepted, calls, callsFailed, diskInfo,
        diskState, size, allocated, warnings, damaged, epoch, cacheLimit, cacheUsed, cacheDirty, cachePinned, pending,
        remoteState, requests, requestErrors, requestBytes, requestDuration, fills, filled, readAhead,
        readAheadUnused, evictedChunks, evicted, commits, commitDuration, uploadedChunks, uploadedRaw, uploadedStored,
        remoteRequests, remoteFailures, remoteRetries, remoteReceived, remoteSent, remoteDuration,
    ]

    /// The table of `Protocol/metrics.md`.
    static var table: String {
        let head = ["| name | type | unit | labels | stability | meaning |", "|---|---|---|---|---|---|"]
        return (head + all.map(\.row)).joined(separator: "\n")
    }
}
