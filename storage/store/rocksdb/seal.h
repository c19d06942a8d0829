// What the database's files were like when it was closed.
//
// RocksDB takes a MANIFEST or a log that has lost its end for one that a crash has cut: it forgets
// what was there, without a word, and deletes the data files that nothing names any more. After a
// crash that is right; after an orderly end nothing may be missing. So the last thing that closing
// does is to write down what is there, and the first thing that opening does is to compare.
//
// Layout of SEAL in the data folder, a line for each of db/CURRENT, db/MANIFEST-*, db/*.log and
// db/*.sst:  "<size> <SHA-256 in hex, - for *.sst> <name>\n". A data file has checksums of its own.
#ifndef BALLAST_STORAGE_STORE_ROCKSDB_SEAL_H_
#define BALLAST_STORAGE_STORE_ROCKSDB_SEAL_H_

#include <string>

#include "absl/status/status.h"

namespace ballast {

// `path` is the data folder. Nobody may be using the database, and all of it is on the disk.
absl::Status WriteSeal(const std::string& path);

// Checks what the seal says, if there is one, and removes it: from here on files change.
// Errors: DataLoss  names the file; the seal stays. Those of reading files.
absl::Status BreakSeal(const std::string& path);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_ROCKSDB_SEAL_H_
