/// `upload.queue`: what waits to be uploaded, and what is on its way.
package enum UploadQueueOf: RPCMethod {
    package static let name = MethodName.uploadQueue

    package struct Parameters: RPCParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case name, limit
        }
        package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

        package var name: String
        /// Chunks that are listed, 0 to `limitMax`; `limitDefault` when left out.
        package var limit: Int?

        package init(name: String, limit: Int? = nil) {
            self.name = name
            self.limit = limit
        }
    }

    package static let limitDefault = 100
    /// One chunk is under 100 bytes of JSON, so the answer stays far below a line's limit.
    package static let limitMax = 5000

    package struct Output: Codable, Equatable, Sendable {
        package enum Stage: String, Codable, CaseIterable, Sendable {
            case sealing, uploading, committing
        }

        /// The epoch in flight.
        package struct EpochInFlight: Codable, Equatable, Sendable {
            package var epoch: UInt64
            package var stage: Stage
            package var chunks: Int
            /// Of these, how many are on the remote.
            package var uploadedChunks: Int
            /// Since it was sealed.
            package var ageSeconds: Double

            package init(epoch: UInt64, stage: Stage, chunks: Int, uploadedChunks: Int, ageSeconds: Double) {
                self.epoch = epoch
                self.stage = stage
                self.chunks = chunks
                self.uploadedChunks = uploadedChunks
                self.ageSeconds = ageSeconds
            }
        }

        package struct Chunk: Codable, Equatable, Sendable {
            package enum State: String, Codable, CaseIterable, Sendable {
                case uploading, uploaded, sealed, dirty
            }

            package var index: UInt64
            package var state: State
            package var dirtyBytes: UInt64
            /// How long something of it has been on this machine alone; null for what an earlier daemon left.
            package var ageSeconds: Double?
            package var retries: Int

            package init(index: UInt64, state: State, dirtyBytes: UInt64, ageSeconds: Double?, retries: Int) {
                self.index = index
                self.state = state
                self.dirtyBytes = dirtyBytes
                self.ageSeconds = ageSeconds
                self.retries = retries
            }

            package func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: CodingKeys.self)
                try container.encode(index, forKey: .index)
                try container.encode(state, forKey: .state)
                try container.encode(dirtyBytes, forKey: .dirtyBytes)
                try container.encode(ageSeconds, forKey: .ageSeconds)
                try container.encode(retries, forKey: .retries)
            }
        }

        package var name: String
        package var paused: Bool
        package var epoch: EpochInFlight?
        /// All chunks that are not wholly on the remote.
        package var totalChunks: Int
        package var dirtyBytes: UInt64
        /// Of all chunks, those that are being sent right now.
        package var uploadingChunks: Int
        /// Those in flight first, then the oldest.
        package var chunks: [Chunk]

        package init(
            name: String,
            paused: Bool,
            epoch: EpochInFlight?,
            totalChunks: Int,
            dirtyBytes: UInt64,
            uploadingChunks: Int,
            chunks: [Chunk]
        ) {
            self.name = name
            self.paused = paused
            self.epoch = epoch
            self.totalChunks = totalChunks
            self.dirtyBytes = dirtyBytes
            self.uploadingChunks = uploadingChunks
            self.chunks = chunks
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(name, forKey: .name)
            try container.encode(paused, forKey: .paused)
            try container.encode(epoch, forKey: .epoch)
            try container.encode(totalChunks, forKey: .totalChunks)
            try container.encode(dirtyBytes, forKey: .dirtyBytes)
            try container.encode(uploadingChunks, forKey: .uploadingChunks)
            try container.encode(chunks, forKey: .chunks)
        }
    }
}

/// `upload.pause`: nothing is uploaded any more but for syncs and detaches, until `upload.resume`, the detach or the
/// daemon's end.
package enum UploadPause: RPCMethod {
    package typealias Parameters = DiskNameParameters
    package typealias Output = DiskStatus
    package static let name = MethodName.uploadPause
}

/// `upload.resume`: uploads go on at once; no error when they were not paused.
package enum UploadResume: RPCMethod {
    package typealias Parameters = DiskNameParameters
    package typealias Output = DiskStatus
    package static let name = MethodName.uploadResume
}
