//===- Weights.cpp - initialisers, constraints, losses of the C interface -===//

#include "compiler/api/Model.h"
#include "compiler/import/keras/KerasWeights.h"

#include "gru/gru.h"
#include "runtime/Error.h"

using namespace gru;
using runtime::fail;

/// The rules of weight `index`, if it exists, has any, and has `size` bytes.
static gru_status findRules(const gru_model *model, size_t index,
                            const void *values, size_t size,
                            const WeightTensor *&weight,
                            const WeightRules *&rules) {
  if (!model || !values)
    return fail(GRU_INVALID_ARGUMENT, "model or values: is null");
  const ModelSource &source = *model->source;
  if (index >= source.getWeights().size())
    return fail(GRU_INVALID_ARGUMENT, "index: is ", index, ", expected below ",
                source.getWeights().size());
  weight = &source.getWeights()[index];
  if (index >= source.getWeightRules().size())
    return fail(GRU_UNSUPPORTED, "weight '", weight->name,
                "': the model's format has no initialisers and constraints");
  rules = &source.getWeightRules()[index];
  if (size != weight->data.size())
    return fail(GRU_INVALID_ARGUMENT, "weight '", weight->name,
                "': wrong size, found ", size, " bytes, expected ",
                weight->data.size());
  return GRU_OK;
}

static gru_status failRule(const WeightTensor &weight, const char *rule,
                           llvm::Error error) {
  return fail(GRU_INVALID_ARGUMENT, "weight '", weight.name, "': ", rule, " ",
              llvm::toString(std::move(error)));
}

static size_t countElements(const WeightTensor &weight) {
  return weight.data.size() / getWeightTypeSize(weight.dtype);
}

int32_t gru_model_has_initial_weights(const gru_model *model) {
  return model && model->source->hasInitialWeights();
}

gru_status gru_model_draw_weight(const gru_model *model, size_t index,
                                 uint64_t seed, void *values, size_t size) {
  const WeightTensor *weight;
  const WeightRules *rules;
  if (gru_status status = findRules(model, index, values, size, weight, rules))
    return status;
  llvm::Expected<std::vector<double>> drawn = rules->initializer->draw(
      rules->initialShape, keras::getWeightSeed(weight->name, seed));
  if (!drawn)
    return failRule(*weight, "initializer", drawn.takeError());
  writeValues(*drawn, weight->dtype, values);
  return GRU_OK;
}

gru_status gru_model_constrain_weight(const gru_model *model, size_t index,
                                      void *values, size_t size) {
  const WeightTensor *weight;
  const WeightRules *rules;
  if (gru_status status = findRules(model, index, values, size, weight, rules))
    return status;
  if (!rules->constraint)
    return GRU_OK;
  std::vector<double> numbers =
      readValues(values, weight->dtype, countElements(*weight));
  if (llvm::Error error = rules->constraint->apply(numbers, weight->shape))
    return failRule(*weight, "constraint", std::move(error));
  writeValues(numbers, weight->dtype, values);
  return GRU_OK;
}

size_t gru_model_num_losses(const gru_model *model) {
  return model ? model->source->getLossTerms().size() : 0;
}

size_t gru_model_num_activities(const gru_model *model) {
  return model ? model->source->getActivities().size() : 0;
}

/// The loss of an activity: that of its values over the batch.
static gru_status getActivityLoss(const ActivitySpec &activity,
                                  const gru_buffer &buffer, double &loss) {
  auto what = [&] { return "activity '" + activity.name + "': "; };
  if (buffer.dtype < GRU_F32 || buffer.dtype > GRU_BF16)
    return fail(GRU_INVALID_ARGUMENT, what(), "dtype is ",
                gru_dtype_name(buffer.dtype), ", expected a float");
  if (buffer.rank && !buffer.dims)
    return fail(GRU_INVALID_ARGUMENT, what(), "dims is null");
  llvm::ArrayRef<int64_t> shape(buffer.dims, buffer.rank);
  size_t count = 1;
  for (int64_t size : shape)
    if (size < 0 || __builtin_mul_overflow(count, size_t(size), &count))
      return fail(GRU_INVALID_ARGUMENT, what(), "shape is impossible");
  if (count && !buffer.data)
    return fail(GRU_INVALID_ARGUMENT, what(), "data is null");
  llvm::Expected<double> value = activity.regularizer.evaluate(
      readValues(buffer.data, WeightType(buffer.dtype), count), shape);
  if (!value)
    return fail(GRU_INVALID_ARGUMENT, what(), "regularizer ",
                llvm::toString(value.takeError()));
  // Keras calls the first dimension the batch, also where it is time.
  double batch = shape.empty() ? 1 : double(shape[0]);
  loss = batch ? *value / batch : 0;
  return GRU_OK;
}

gru_status gru_model_losses(const gru_model *model, const gru_weight *weights,
                            size_t num_weights, const gru_buffer *activities,
                            size_t num_activities, double *losses,
                            size_t num_losses) {
  if (!model || (num_losses && !losses))
    return fail(GRU_INVALID_ARGUMENT, "model or losses: is null");
  const ModelSource &source = *model->source;
  if (num_losses != source.getLossTerms().size())
    return fail(GRU_INVALID_ARGUMENT, "losses: wrong number, found ",
                num_losses, ", expected ", source.getLossTerms().size());
  if (num_activities != source.getActivities().size() ||
      (num_activities && !activities))
    return fail(GRU_INVALID_ARGUMENT, "activities: wrong number, found ",
                activities ? num_activities : 0, ", expected ",
                source.getActivities().size(),
                ": the outputs of a program compiled with activities that "
                "follow the model's");
  std::vector<double> result(num_losses);
  for (size_t i = 0; i < num_losses; ++i) {
    const LossTerm &term = source.getLossTerms()[i];
    if (term.isActivity) {
      if (gru_status status =
              getActivityLoss(source.getActivities()[term.index],
                              activities[term.index], result[i]))
        return status;
      continue;
    }
    const WeightTensor &weight = source.getWeights()[term.index];
    const void *data = weight.data.data();
    WeightType type = weight.dtype;
    for (size_t w = 0; weights && w < num_weights; ++w) {
      if (!weights[w].name || weight.name != weights[w].name)
        continue;
      if (weights[w].dtype < GRU_F32 || weights[w].dtype > GRU_BF16 ||
          (weights[w].rank && !weights[w].dims) ||
          llvm::ArrayRef(weights[w].dims, weights[w].rank) !=
              llvm::ArrayRef(weight.shape) ||
          !weights[w].data)
        return fail(GRU_INVALID_ARGUMENT, "weight '", weight.name,
                    "': has another shape than the model's, or no data");
      data = weights[w].data;
      type = WeightType(weights[w].dtype);
      break;
    }
    llvm::Expected<double> value =
        source.getWeightRules()[term.index].regularizer->evaluate(
            readValues(data, type, countElements(weight)), weight.shape);
    if (!value)
      return failRule(weight, "regularizer", value.takeError());
    result[i] = *value;
  }
  std::copy(result.begin(), result.end(), losses);
  return GRU_OK;
}
