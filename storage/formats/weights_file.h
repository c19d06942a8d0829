// Opens what a person calls a file of weights: a file of any format, the index of a
// sharded checkpoint, or the folder that such a checkpoint lies in.
//
// The shards of an index are sought in its own folder only, by plain names
// (shard_names.h). A symbolic link that lies there is followed: it is the user's own, and
// the hub's cache keeps every file of a snapshot as a link into its blobs.
#ifndef BALLAST_STORAGE_FORMATS_WEIGHTS_FILE_H_
#define BALLAST_STORAGE_FORMATS_WEIGHTS_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/state_dict.h"

namespace ballast {

struct WeightsFile {
  std::unique_ptr<ByteSource> source;  // of several shards: one after the other
  SourceStateDict dict;                // its offsets are those of `source`
};

// `format` kUnknown: by content.
// Errors: as OpenFile, ListFolder, ChooseWeights, ParseShardIndex, ReadShards and
//         ReadStateDict, `path` in front. InvalidArgument/MALFORMED  a shard of the index
//         is missing, or there is one more of its series than it names.
absl::StatusOr<WeightsFile> OpenWeights(const std::string& path, Format format,
                                        const Limits& limits);

// The same for bytes that have no path. Errors: as ReadStateDict.
absl::StatusOr<WeightsFile> ReadWeights(std::unique_ptr<ByteSource> source, Format format,
                                        const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_WEIGHTS_FILE_H_
