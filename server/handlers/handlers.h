// The service without a transport: decode → use case → encode. gRPC calls it
// (server/grpc_frontend), and so do tests, in the process.
#ifndef BALLAST_SERVER_HANDLERS_HANDLERS_H_
#define BALLAST_SERVER_HANDLERS_HANDLERS_H_

#include <functional>
#include <map>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proto/frame_stream.h"
#include "server/call.h"
#include "server/services.h"

namespace ballast {

// A method: serves one call on the calling thread, blocking. What it returns is
// the call's status.
using Handler = std::function<absl::Status(Call*, FrameStream*)>;

struct Method {
  Handler handler;
  bool moves_data = false;  // long, with payload or a manifest: runs apart from the control calls
  bool sleeps = false;      // mostly waits: has threads of its own, at most limits.watches_max
  bool quick = false;       // reads a few records: gRPC's own thread serves it, without a switch
};

// By name: "Push", "GetVersion" … Thread-safe once built.
using MethodTable = absl::flat_hash_map<std::string, Method>;

// `services` must outlive the table.
MethodTable MakeMethodTable(const Services& services);

// The pieces of it, one per file.
void AddPushMethods(const Services& services, MethodTable* table);
void AddPullMethods(const Services& services, MethodTable* table);
void AddFileMethods(const Services& services, MethodTable* table);        // Convert, Inspect
void AddSchemaMethods(const Services& services, MethodTable* table);      // Validate, …Schema
void AddCatalogMethods(const Services& services, MethodTable* table);     // lists, aliases
void AddDeletionMethods(const Services& services, MethodTable* table);    // …delete…, retention
void AddCollectionMethods(const Services& services, MethodTable* table);  // CollectGarbage
void AddVerifyMethods(const Services& services, MethodTable* table);      // Verify
void AddOperationsMethods(const Services& services, MethodTable* table);  // GetStats
void AddDiffMethods(const Services& services, MethodTable* table);        // Diff
void AddWatchMethods(const Services& services, MethodTable* table);       // Watch

}  // namespace ballast

#endif  // BALLAST_SERVER_HANDLERS_HANDLERS_H_
