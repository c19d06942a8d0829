#include "tests/fuzz/targets.h"

#include <array>

namespace ballast::fuzz {

absl::Span<const Target> AllTargets() {
  static constexpr std::array kTargets = {
      Target{"auto", FuzzAuto},
      Target{"zip", FuzzZip},
      Target{"pickle", FuzzPickle},
      Target{"objects", FuzzObjects},
      Target{"legacy", FuzzLegacy},
      Target{"tar", FuzzTar},
      Target{"torchsharp", FuzzTorchSharp},
      Target{"safetensors", FuzzSafetensors},
      Target{"shards", FuzzShards},
      Target{"inflate", FuzzInflate},
      Target{"schema", FuzzSchema},
      Target{"names", FuzzNames},
      Target{"stored", FuzzStored},
      Target{"wire", FuzzWire},
  };
  return kTargets;
}

}  // namespace ballast::fuzz
