// Plain values that Python pickles as calls or objects: bytes, big ints, torch's and numpy's
// small things. What is called is known by its exact name; nothing is ever called.
//
//   bytes, bytearray    BINBYTES and kin, or _codecs.encode(text, "latin1") up to protocol 2
//   numpy scalar        numpy.core.multiarray.scalar(dtype, bytes)
//   numpy dtype         numpy.dtype("f8", …) BUILD (version, "<", …)
//   numpy array         numpy.core.multiarray._reconstruct(…) BUILD (version, shape, dtype, …)
//   torch.device("cuda", 0), torch.Size((…)), pathlib paths, set([…])
// Source: numpy/core/src/multiarray/{methods.c,scalartypes.c.src}, CPython Lib/pathlib.py.
#ifndef BALLAST_STORAGE_FORMATS_PICKLE_PLAIN_H_
#define BALLAST_STORAGE_FORMATS_PICKLE_PLAIN_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/formats/pickle_value.h"

namespace ballast {

// `scratch` holds the bytes if the pickle has them as text. nullopt: it is no bytes, or more
// than 1 KiB of text.
std::optional<absl::string_view> PickledBytes(const PickleGraph& graph, PickleRef ref,
                                              std::string* scratch);

struct NumpyScalar {
  std::string type;  // "numpy.float64"
  std::string json;  // a number or bool; "" if it has no JSON form
  std::string text;  // "nan", if it has none
};
// nullopt: it is no scalar of a dtype of numbers.
std::optional<NumpyScalar> PickledNumpyScalar(const PickleGraph& graph, PickleRef ref);

// "float64 [3, 4]"; nullopt: it is no array.
std::optional<std::string> PickledNumpyArray(const PickleGraph& graph, PickleRef ref);

// "cuda:0" of a device, "/home/me" of a path; nullopt: it is neither.
std::optional<std::string> PickledName(const PickleGraph& graph, PickleRef ref);

// The items of a tuple, list, set or torch.Size; nullopt: it is none.
std::optional<absl::Span<const PickleRef>> PickledItems(const PickleGraph& graph, PickleRef ref);

// The attributes of an object, as the dict that they were pickled as; kNoPickleRef if it has
// none or holds more than them.
PickleRef PickledAttributes(const PickleGraph& graph, PickleRef ref);

// As graph.TypeName, but with the names above: "numpy.float64", "numpy.ndarray", "torch.dtype".
std::string PickledTypeName(const PickleGraph& graph, PickleRef ref);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PICKLE_PLAIN_H_
