// Which files of a folder are its weights, told from their names alone.
//
// A folder is a checkpoint if it holds exactly one of: an index of shards; a series of
// numbered shards without an index; a file that is called like weights (.safetensors .bin
// .pt .pth .ckpt .dat .pth.tar). What training tools put beside the weights (optimizer.pt,
// training_args.bin, rng_state.pth …) does not count.
#ifndef BALLAST_STORAGE_FORMATS_WEIGHTS_FOLDER_H_
#define BALLAST_STORAGE_FORMATS_WEIGHTS_FOLDER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/base/folder.h"

namespace ballast {

struct WeightsChoice {
  std::string index;               // the index file, or "":
  std::vector<std::string> files;  // the one file, or the shards by their numbers
};

// Errors: FailedPrecondition/AMBIGUOUS  several candidates; names them.
//         Unimplemented/UNSUPPORTED  a checkpoint of torch.distributed.checkpoint (DCP),
//         DeepSpeed or Megatron: names it, with the command that converts it.
//         InvalidArgument/MALFORMED  shards are missing; names them.
//         NotFound  no weights; names the sub-folders, which are not searched.
absl::StatusOr<WeightsChoice> ChooseWeights(const std::vector<FolderEntry>& folder);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_WEIGHTS_FOLDER_H_
