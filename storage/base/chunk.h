// A piece of memory together with what keeps it alive, so that a pinned block
// can travel from the store to the socket without being copied.
#ifndef BALLAST_STORAGE_BASE_CHUNK_H_
#define BALLAST_STORAGE_BASE_CHUNK_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace ballast {

struct Chunk {
  absl::string_view bytes;
  // Everyone who holds a copy of the chunk is an owner: the producer's pin or
  // buffer is released with the last copy. Null if `bytes` outlives all users
  // by other means, which the producer must document.
  std::shared_ptr<const void> owner;

  // A chunk that owns its bytes.
  static Chunk Own(std::string bytes) {
    auto owned = std::make_shared<const std::string>(std::move(bytes));
    return Chunk{*owned, owned};
  }
  // `length` bytes from `offset`, kept alive by the same owner.
  Chunk Sub(size_t offset, size_t length = absl::string_view::npos) const {
    return Chunk{bytes.substr(offset, length), owner};
  }
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_BASE_CHUNK_H_
