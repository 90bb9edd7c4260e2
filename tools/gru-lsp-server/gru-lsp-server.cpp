//===- gru-lsp-server.cpp - editors understand gru in MLIR files ----------===//

#include "lowering/Pipelines.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  gru::registerCompilerDialects(registry);
  return failed(mlir::MlirLspServerMain(argc, argv, registry));
}
