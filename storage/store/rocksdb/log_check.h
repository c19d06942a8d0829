// Finds damage that RocksDB takes for an unfinished write.
//
// A log (the write-ahead log, and the MANIFEST, which is one too) ends where the process
// may have died while it wrote a record, so RocksDB forgets a record that is longer than
// what is left of the file, and everything behind it, without a word. A damaged length in
// the last 32 KiB looks just so, and acknowledged commits, or whole data files, would be
// forgotten. This tells the two apart: behind an unfinished record there is nothing.
//
// Layout:  blocks of 32 KiB | record = u32le masked CRC-32C of type and payload | u16le
//          payload length | u8 type | payload; no record crosses a block.
// Source:  RocksDB wiki, "Write Ahead Log File Format"; db/log_format.h of 7.8.
#ifndef BALLAST_STORAGE_STORE_ROCKSDB_LOG_CHECK_H_
#define BALLAST_STORAGE_STORE_ROCKSDB_LOG_CHECK_H_

#include <string>

#include "absl/status/status.h"

namespace ballast {

// All logs in the folder of a database that is not open; one there must be.
// Errors: DataLoss  names the file and the offset. Those of reading files.
absl::Status CheckLogs(const std::string& dir);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_ROCKSDB_LOG_CHECK_H_
