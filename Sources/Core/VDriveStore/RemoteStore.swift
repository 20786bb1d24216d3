internal import Curl
package import Logging

/// A remote, opened: one driver and one meter below three tempers of retrying.
package struct RemoteStore: Sendable {
    /// Gives up after the read deadline, so that a reader gets an error and not an endless wait.
    package var reads: any ObjectStore
    /// Never gives up on what may pass: uploads wait for the remote to come back.
    package var writes: any ObjectStore
    /// Gives up soon: for what a person waits for (creating, attaching), and for what is tried again anyway.
    package var brief: any ObjectStore
    package var meter: StoreMeter

    package init(reads: any ObjectStore, writes: any ObjectStore, brief: any ObjectStore, meter: StoreMeter) {
        self.reads = reads
        self.writes = writes
        self.brief = brief
        self.meter = meter
    }
}

/// Composes the stores of a remote, from the driver up. Nothing goes over the line yet.
///
/// - Parameter credentials: nil for a server, or a folder, that asks for none.
/// - Parameter readDeadline: how long `reads` tries before it throws.
/// - Throws: `invalid` when URL and credentials do not fit together.
package func openStore(
    url: StoreURL,
    credentials: StoreCredentials?,
    logger: Logger,
    readDeadline: Duration = .seconds(300)
) throws(StoreError) -> RemoteStore {
    let driver: any ObjectStore
    switch url.scheme {
    case .file: driver = FileStore(path: url.path)
    case .webdav, .webdavs: driver = try WebDAVStore(url: url, credentials: credentials, loop: TransferLoop())
    }
    let meter = StoreMeter()
    let metered = MeteredStore(driver, meter: meter)
    let budget = RetryBudget()
    func retrying(deadline: Duration?) -> any ObjectStore {
        RetryingStore(
            metered,
            deadline: deadline,
            budget: budget,
            meter: meter,
            clock: ContinuousClock(),
            generator: SystemRandomNumberGenerator(),
            logger: logger
        )
    }
    return RemoteStore(
        reads: retrying(deadline: readDeadline),
        writes: retrying(deadline: nil),
        brief: retrying(deadline: min(readDeadline, briefDeadline)),
        meter: meter
    )
}

/// How long `RemoteStore.brief` tries: longer than a hiccup, shorter than a person's patience.
private let briefDeadline = Duration.seconds(15)
