#include "client/cli/input.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "client/spool_folder.h"
#include "storage/base/file.h"
#include "storage/base/status.h"
#include "storage/formats/json_text.h"
#include "storage/formats/reader.h"
#include "storage/formats/shard_index.h"

namespace ballast::cli {

StdinStream::StdinStream(const CancelToken& cancel)
    : cancel_(cancel), wake_fd_(eventfd(0, EFD_CLOEXEC)) {
  registration_ = cancel_.OnCancel([fd = wake_fd_] { eventfd_write(fd, 1); });
}

StdinStream::~StdinStream() {
  registration_.reset();
  if (wake_fd_ >= 0) close(wake_fd_);
}

absl::StatusOr<size_t> StdinStream::Read(absl::Span<char> out) {
  pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
  while (poll(fds, 2, -1) < 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "reading the input");
  }
  if (cancel_.cancelled()) return absl::CancelledError("cancelled");
  return StreamFromFd(STDIN_FILENO)->Read(out);
}

absl::StatusOr<std::unique_ptr<ByteSource>> OpenInput(const std::string& path,
                                                      const CancelToken& cancel,
                                                      const Limits& limits) {
  if (path != "-") return OpenFile(path);
  ASSIGN_OR_RETURN(std::unique_ptr<SpoolFile> spool,
                   SpoolFile::Create(SpoolFolder(), limits.spool_bytes_max, "spool_bytes_max"));
  StdinStream in(cancel);
  std::string buffer(kBlockBytes, '\0');
  while (true) {
    ASSIGN_OR_RETURN(const size_t n, in.Read(absl::MakeSpan(buffer.data(), buffer.size())));
    if (n == 0) return spool;
    RETURN_IF_ERROR(spool->Write(absl::string_view(buffer).substr(0, n)));
  }
}

absl::StatusOr<WeightsFile> OpenInputWeights(const std::string& path, Format format,
                                             const CancelToken& cancel, const Limits& limits) {
  if (path != "-") return OpenWeights(path, format, limits);
  ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> spool, OpenInput(path, cancel, limits));
  ASSIGN_OR_RETURN(WeightsFile weights, ReadWeights(std::move(spool), format, limits), path);
  return weights;
}

absl::StatusOr<std::string> ReadSchemaText(const ByteSource& source, const Limits& limits) {
  if (source.size_bytes() > limits.schema_bytes_max) {
    return LimitError("schema: is ", source.size_bytes(), " bytes, want at most ",
                      limits.schema_bytes_max, " (schema_bytes_max)");
  }
  std::string text(source.size_bytes(), '\0');
  RETURN_IF_ERROR(source.ReadAt(0, absl::MakeSpan(text.data(), text.size())));
  return text;
}

absl::StatusOr<bool> LooksLikeSchema(const ByteSource& source, const Limits& limits) {
  std::string head(std::min<uint64_t>(source.size_bytes(), kDetectBytes), '\0');
  RETURN_IF_ERROR(source.ReadAt(0, absl::MakeSpan(head.data(), head.size())));
  if (!BeginsLikeJsonObject(head)) return false;
  ASSIGN_OR_RETURN(const std::string text, ReadSchemaText(source, limits));
  return !HasWeightMap(text);
}

}  // namespace ballast::cli
