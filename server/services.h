// What the use cases work with. Built once in main.cc; everything outlives the
// calls.
#ifndef BALLAST_SERVER_SERVICES_H_
#define BALLAST_SERVER_SERVICES_H_

#include <string>

#include "server/authorizer.h"
#include "server/use_cases/memory_budget.h"
#include "server/use_cases/statistics.h"
#include "server/use_cases/watches.h"
#include "storage/base/limits.h"
#include "storage/store/blob_store.h"
#include "storage/store/catalog.h"
#include "storage/store/collector.h"
#include "storage/store/verifier.h"

namespace ballast {

struct Services {
  Catalog* catalog = nullptr;        // Must outlive this.
  BlobStore* blobs = nullptr;        // Must outlive this.
  Authorizer* authorizer = nullptr;  // Must outlive this.
  Limits limits;
  std::string spool_dir;                    // for raw streams that need random access
  MemoryBudget* manifest_memory = nullptr;  // of manifests. Must outlive this.
  Collector* collector = nullptr;           // Must outlive this.
  Statistics* statistics = nullptr;         // Must outlive this.
  Watches* watches = nullptr;               // Must outlive this.
  Verifier* verifier = nullptr;             // Must outlive this.
};

}  // namespace ballast

#endif  // BALLAST_SERVER_SERVICES_H_
