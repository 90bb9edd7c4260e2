//===- Plugin.cpp - gru for a stock mlir-opt ------------------------------===//
//
//   mlir-opt --load-dialect-plugin=gru-plugin.so \
//            --load-pass-plugin=gru-plugin.so
//
//===----------------------------------------------------------------------===//

#include "lowering/Pipelines.h"

#include "mlir/Tools/Plugins/DialectPlugin.h"
#include "mlir/Tools/Plugins/PassPlugin.h"

extern "C" LLVM_ATTRIBUTE_VISIBILITY_DEFAULT mlir::DialectPluginLibraryInfo
mlirGetDialectPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "gru", "0.1",
          [](mlir::DialectRegistry *registry) {
            gru::registerCompilerDialects(*registry);
          }};
}

extern "C" LLVM_ATTRIBUTE_VISIBILITY_DEFAULT mlir::PassPluginLibraryInfo
mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "gru", "0.1",
          [] { gru::registerPassesAndPipelines(); }};
}
