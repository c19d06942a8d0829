// Which storages are checked by reading every entry once, and which are not.
#ifndef BALLAST_STORAGE_FORMATS_COVERAGE_H_
#define BALLAST_STORAGE_FORMATS_COVERAGE_H_

#include "storage/formats/state_dict.h"

namespace ballast {

// True if the entry's bytes are its storage's bytes, all of them and unchanged: their
// CRC-32 is the storage's.
bool CoversStorage(const SourceStateDict& dict, const SourceEntry& entry);

// The storages with a CRC-32 that no entry covers (views only, big-endian), as a state
// dict without entries, for VerifyStorages. Whoever has read every covering entry in
// order needs to verify no more than these.
SourceStateDict UncoveredStorages(const SourceStateDict& dict);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_COVERAGE_H_
