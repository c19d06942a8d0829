// Every bound of the product, by name. Each says what it bounds and why; the
// configuration file and the capabilities answer use the same names.
#ifndef BALLAST_STORAGE_BASE_LIMITS_H_
#define BALLAST_STORAGE_BASE_LIMITS_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ballast {

// Blocks are cut at this size; part of the identity of every version.
inline constexpr uint64_t kBlockBytes = 1u << 20;
// Blocks of this size and larger are found by their CRC-32. Below it a SHA-256 costs no more than
// to ask whether it is needed.
inline constexpr uint64_t kCrcKnownBytes = 64u << 10;
// Payload of one data message; with framing it stays under 4 MiB, the default
// receive limit of every gRPC client.
inline constexpr uint64_t kDataMessageBytes = 2u << 20;

struct Limits {
  // --- what a file or manifest may hold (memory is spent per entry) ---
  uint64_t entries_max = 1u << 20;                // tensors in a state dict
  uint64_t key_bytes_max = 4096;                  // bytes of a key
  uint64_t dims_max = 64;                         // dimensions of a tensor (torch's own bound)
  uint64_t tensor_bytes_max = uint64_t{1} << 40;  // bytes of one tensor
  uint64_t header_bytes_max = 100'000'000;        // safetensors header (the format's own bound)
  uint64_t manifest_bytes_max = 512u << 20;       // encoded manifest: 1 Mi entries with long keys
  uint64_t metadata_bytes_max = 16u << 20;        // _metadata, leaves and source facts together

  // --- sharded checkpoints ---
  uint64_t shards_max = 1000;                    // files of one checkpoint, all open at once
  uint64_t shard_index_bytes_max = 100'000'000;  // JSON text of an index
  uint64_t folder_entries_max = 100'000;         // files in a folder of weights

  // --- the pickle machine ---
  uint64_t pickle_bytes_max = 256u << 20;   // data.pkl; a dict of 1 Mi tensors takes ~150 MiB
  uint64_t pickle_opcodes_max = 64u << 20;  // executed opcodes: loops without input are impossible,
                                            // but objects made per opcode cost memory
  uint64_t pickle_memory_bytes_max = 1u << 30;  // memory of the object graph
  uint64_t pickle_depth_max = 1000;  // nesting of values and of open MARKs; CPython's own recursion
                                     // limit lets no pickler go deeper

  // --- zip ---
  uint64_t zip_records_max = 2u << 20;  // records in the directory
  uint64_t zip_directory_bytes_max = 256u << 20;

  // --- expansion: bytes made beyond those stored (expanded views, inflated records) ---
  uint64_t materialized_bytes_max = uint64_t{4} << 30;
  uint64_t spool_bytes_max = uint64_t{64} << 30;  // one raw stream kept in a temporary file

  // --- schemas and rules ---
  uint64_t schema_bytes_max = 256u << 20;  // JSON text of a schema
  uint64_t rename_rules_max = 64;          // --rename rules in one command
  uint64_t rename_program_max = 10'000;    // RE2 program size of one rule
  uint64_t globs_max = 256;                // --include/--exclude patterns
  uint64_t report_items_max = 100'000;     // items listed in a validation report

  // --- memory that all of a server's calls share ---
  uint64_t manifest_memory_bytes = 1u << 30;  // manifests held at once; a call waits for its
                                              // share: many large ones would add up
  uint64_t manifest_wait_ms = 60'000;         // for so long, then it is told to try again

  // --- the server ---
  uint64_t streams_max = 64;          // data streams served at once; each has a thread
  uint64_t stream_queue_max = 256;    // data streams waiting for one of those threads
  uint64_t stream_idle_ms = 600'000;  // a call whose client neither sends nor takes anything for
                                      // so long is ended: it holds a thread
  uint64_t connection_streams_max = 1000;  // calls at once on one connection
  uint64_t receive_window_bytes = 4u << 20;  // that a client may send ahead, in each call and on
                                             // each connection: so much waits in memory
  uint64_t unary_bytes_max = 4u << 20;     // one request message (gRPC's default)
  uint64_t page_entries_max = 1000;        // items in one page of a listing
  uint64_t block_file_bytes = 64u << 20;   // of a push, not durable at a time; more if below 16 MiB
  uint64_t block_cache_bytes = 32u << 20;  // pinned and recently read blocks
  uint64_t label_bytes_max = 4096;         // message, and all labels of a version together
  uint64_t aliases_max = 1000;             // aliases of one model

  // --- deletion and collection of garbage ---
  uint64_t undelete_window_ms = 604'800'000;  // a deleted version can be brought back at least so
                                              // long; its blocks take up space until then
  uint64_t request_memory_ms = 86'400'000;    // the answer to a request id is kept at least so
                                              // long: some 100 bytes for each mutation
  uint64_t push_lease_ms = 60'000;         // a push that does not take over a collection's epoch in
                                           // this time is taken for dead, and fenced
  uint64_t alias_history_max = 1000;       // moves of aliases that are remembered, per model
  uint64_t retention_labels_max = 64;      // label rules of one model
  uint64_t gc_mark_bytes_max = 64u << 20;  // memory for the digests in use, 40 bytes each; a
                                           // store with more blocks is marked in several passes
  uint64_t usage_manifest_bytes_max = 256u << 20;  // manifests read to tell what a version shares

  // --- operation ---
  uint64_t ready_free_bytes_min = 64u << 20;  // with less free disk the server is not ready: not
                                              // one more block file would fit; 0: no such rule
  uint64_t tally_age_ms_max = 300'000;  // a count of versions is used for so long: counting reads
                                        // the records of all versions
  uint64_t verify_bytes_per_second = 128u << 20;  // read by a verification: it shares the disk
                                                  // with pulls
  uint64_t watches_max = 256;       // watches at once; each has a thread that mostly sleeps
  uint64_t watch_poll_ms = 10'000;  // a watch looks by itself so often: news of changes made
                                    // by another server can be lost
};

// A limit by its name, for the configuration file and the capabilities answer.
struct LimitField {
  absl::string_view name;
  uint64_t Limits::*field;
};
absl::Span<const LimitField> AllLimits();

}  // namespace ballast

#endif  // BALLAST_STORAGE_BASE_LIMITS_H_
