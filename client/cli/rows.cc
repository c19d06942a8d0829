#include "client/cli/rows.h"

#include <unistd.h>

#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "client/cli/signals.h"
#include "client/cli/text.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast::cli {
namespace {

// Digits only: a sign or space is no row.
bool ParseRow(absl::string_view text, uint64_t* row) {
  return text.find_first_not_of("0123456789") == text.npos && absl::SimpleAtoi(text, row);
}

std::vector<uint64_t> Dims(const Shape& shape) { return {shape.begin(), shape.end()}; }

std::vector<uint64_t> SliceShape(const PullRowsResult& result) {
  std::vector<uint64_t> shape = Dims(result.tensor.shape);
  shape[0] = result.rows;
  return shape;
}

Json RowsJson(const PullRowsResult& result, const std::string& path) {
  const PullResult& pulled = result.pulled;
  return {{"reference", pulled.reference},
          {"model", pulled.model},
          {"version", pulled.version},
          {"digest", "sha256:" + pulled.digest.Hex()},
          {"path", path},
          {"format", std::string(FormatName(pulled.format))},
          {"key", result.tensor.key},
          {"dtype", std::string(DTypeName(result.tensor.dtype))},
          {"shape", SliceShape(result)},
          {"tensor_shape", Dims(result.tensor.shape)},
          {"first_row", result.first_row},
          {"rows", result.rows},
          {"payload_bytes", result.payload_bytes},
          {"bytes", pulled.bytes},
          {"bytes_received", pulled.bytes_received},
          {"retries", pulled.retries},
          {"warnings", pulled.warnings}};
}

absl::StatusOr<PullRowsResult> Pull(Client* client, const std::string& reference,
                                    const KeyRows& rows, const std::string& path,
                                    const PullRowsOptions& options) {
  if (path == "-") {
    const std::unique_ptr<ByteSink> sink = SinkToFd(STDOUT_FILENO);
    return client->PullRowsToSink(reference, rows.key, rows.rows, sink.get(), options);
  }
  const CleanupScope cleanup;
  return client->PullRowsFile(reference, rows.key, rows.rows, path, options);
}

}  // namespace

absl::StatusOr<KeyRows> ParseRows(const std::string& text, const Limits& limits) {
  const size_t equals = text.rfind('=');
  const size_t colon = equals == text.npos ? text.npos : text.find(':', equals);
  uint64_t first = 0, last = 0;
  const absl::Status wrong = UsageError(
      absl::StrCat("--rows: is \"", Printable(text),
                   "\", want KEY=FIRST:LAST, rows from 0 on; either may be left out"));
  if (colon == text.npos) return wrong;
  const std::string begin = text.substr(equals + 1, colon - equals - 1);
  const std::string end = text.substr(colon + 1);
  if (!begin.empty() && !ParseRow(begin, &first)) return wrong;
  KeyRows rows{text.substr(0, equals), {first, std::nullopt}};
  RETURN_IF_ERROR(UsageError(CheckKey(rows.key, limits)), "--rows");
  if (end.empty()) return rows;
  if (!ParseRow(end, &last)) return wrong;
  if (last < first) {
    return UsageError(absl::StrCat("--rows: LAST is ", last, ", want at least FIRST, ", first));
  }
  rows.rows.count = last - first;
  return rows;
}

absl::Status PullRows(Session* session, Client* client, const std::string& reference,
                      const KeyRows& rows, const std::string& path,
                      const PullRowsOptions& options) {
  const absl::StatusOr<PullRowsResult> result = Pull(client, reference, rows, path, options);
  session->EndProgress();
  RETURN_IF_ERROR(result.status());
  session->Warn(result->pulled.warnings);
  if (path == "-") return absl::OkStatus();
  if (session->json()) return session->Print(JsonLine(RowsJson(*result, path)));
  return session->Tell(absl::StrCat(
      Printable(path), "  ", result->pulled.reference, " ", QuotedKey(result->tensor.key), " rows ",
      result->first_row, ":", result->first_row + result->rows, " of ",
      ShapeText(result->tensor.shape), " as ", FormatName(result->pulled.format), ", ",
      BytesText(result->pulled.bytes)));
}

}  // namespace ballast::cli
