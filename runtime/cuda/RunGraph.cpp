//===- RunGraph.cpp - a run that comes again, as one launch ---------------===//

#include "RunGraph.h"

using namespace gru::runtime;
using namespace gru::runtime::cuda;

RunGraph::RunGraph(const Plan &plan)
    : numInputs(plan.inputs().size()), numOutputs(plan.outputs().size()),
      numSymbols(plan.symbols().size()),
      last(numInputs + numOutputs + numSymbols) {}

bool RunGraph::isSame(const gru_call &call) {
  bool same = known;
  uint64_t *place = last.data();
  auto note = [&](uint64_t value) {
    same &= *place == value;
    *place++ = value;
  };
  for (size_t i = 0; i < numInputs; ++i)
    note(reinterpret_cast<uintptr_t>(call.in[i]));
  for (size_t i = 0; i < numOutputs; ++i)
    note(reinterpret_cast<uintptr_t>(call.out[i]));
  for (size_t i = 0; i < numSymbols; ++i)
    note(uint64_t(call.dims[i]));
  if (!same)
    forget();
  known = true;
  return same;
}

void RunGraph::forget() {
  refuse();
  known = tried = false;
}

void RunGraph::refuse() {
  if (executable)
    driver().cuGraphExecDestroy(executable);
  executable = nullptr;
  tried = true;
}

bool RunGraph::begin(CUstream stream) {
  tried = true;
  return !driver().cuStreamBeginCapture(stream,
                                        CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
}

bool RunGraph::end(CUstream stream) {
  CUgraph graph = nullptr;
  if (driver().cuStreamEndCapture(stream, &graph) || !graph)
    return false;
  bool made = !driver().cuGraphInstantiateWithFlags(&executable, graph, 0);
  if (!made)
    executable = nullptr;
  driver().cuGraphDestroy(graph);
  return made;
}
