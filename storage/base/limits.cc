#include "storage/base/limits.h"

#include <array>

namespace ballast {

absl::Span<const LimitField> AllLimits() {
  static constexpr std::array kFields = {
      LimitField{"entries_max", &Limits::entries_max},
      LimitField{"key_bytes_max", &Limits::key_bytes_max},
      LimitField{"dims_max", &Limits::dims_max},
      LimitField{"tensor_bytes_max", &Limits::tensor_bytes_max},
      LimitField{"header_bytes_max", &Limits::header_bytes_max},
      LimitField{"manifest_bytes_max", &Limits::manifest_bytes_max},
      LimitField{"metadata_bytes_max", &Limits::metadata_bytes_max},
      LimitField{"shards_max", &Limits::shards_max},
      LimitField{"shard_index_bytes_max", &Limits::shard_index_bytes_max},
      LimitField{"folder_entries_max", &Limits::folder_entries_max},
      LimitField{"pickle_bytes_max", &Limits::pickle_bytes_max},
      LimitField{"pickle_opcodes_max", &Limits::pickle_opcodes_max},
      LimitField{"pickle_memory_bytes_max", &Limits::pickle_memory_bytes_max},
      LimitField{"pickle_depth_max", &Limits::pickle_depth_max},
      LimitField{"zip_records_max", &Limits::zip_records_max},
      LimitField{"zip_directory_bytes_max", &Limits::zip_directory_bytes_max},
      LimitField{"materialized_bytes_max", &Limits::materialized_bytes_max},
      LimitField{"spool_bytes_max", &Limits::spool_bytes_max},
      LimitField{"schema_bytes_max", &Limits::schema_bytes_max},
      LimitField{"rename_rules_max", &Limits::rename_rules_max},
      LimitField{"rename_program_max", &Limits::rename_program_max},
      LimitField{"globs_max", &Limits::globs_max},
      LimitField{"report_items_max", &Limits::report_items_max},
      LimitField{"streams_max", &Limits::streams_max},
      LimitField{"stream_queue_max", &Limits::stream_queue_max},
      LimitField{"stream_idle_ms", &Limits::stream_idle_ms},
      LimitField{"manifest_memory_bytes", &Limits::manifest_memory_bytes},
      LimitField{"manifest_wait_ms", &Limits::manifest_wait_ms},
      LimitField{"connection_streams_max", &Limits::connection_streams_max},
      LimitField{"receive_window_bytes", &Limits::receive_window_bytes},
      LimitField{"unary_bytes_max", &Limits::unary_bytes_max},
      LimitField{"page_entries_max", &Limits::page_entries_max},
      LimitField{"block_file_bytes", &Limits::block_file_bytes},
      LimitField{"block_cache_bytes", &Limits::block_cache_bytes},
      LimitField{"label_bytes_max", &Limits::label_bytes_max},
      LimitField{"aliases_max", &Limits::aliases_max},
      LimitField{"undelete_window_ms", &Limits::undelete_window_ms},
      LimitField{"request_memory_ms", &Limits::request_memory_ms},
      LimitField{"push_lease_ms", &Limits::push_lease_ms},
      LimitField{"alias_history_max", &Limits::alias_history_max},
      LimitField{"retention_labels_max", &Limits::retention_labels_max},
      LimitField{"gc_mark_bytes_max", &Limits::gc_mark_bytes_max},
      LimitField{"usage_manifest_bytes_max", &Limits::usage_manifest_bytes_max},
      LimitField{"ready_free_bytes_min", &Limits::ready_free_bytes_min},
      LimitField{"tally_age_ms_max", &Limits::tally_age_ms_max},
      LimitField{"verify_bytes_per_second", &Limits::verify_bytes_per_second},
      LimitField{"watches_max", &Limits::watches_max},
      LimitField{"watch_poll_ms", &Limits::watch_poll_ms},
  };
  return kFields;
}

}  // namespace ballast
