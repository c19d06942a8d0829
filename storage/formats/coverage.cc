#include "storage/formats/coverage.h"

#include <vector>

namespace ballast {

bool CoversStorage(const SourceStateDict& dict, const SourceEntry& entry) {
  const SourceStorage& storage = dict.storages[entry.storage];
  return entry.offset_bytes == 0 && entry.strides.empty() && !entry.conjugate && !entry.negative &&
         !storage.big_endian && CheckedTensorBytes(entry.spec) == storage.size_bytes;
}

SourceStateDict UncoveredStorages(const SourceStateDict& dict) {
  std::vector<bool> covered(dict.storages.size());
  for (const SourceEntry& entry : dict.entries) {
    if (CoversStorage(dict, entry)) covered[entry.storage] = true;
  }
  SourceStateDict out;
  out.format = dict.format;
  for (size_t i = 0; i < covered.size(); ++i) {
    if (!covered[i] && dict.storages[i].crc32) out.storages.push_back(dict.storages[i]);
  }
  return out;
}

}  // namespace ballast
