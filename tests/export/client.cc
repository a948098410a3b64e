// Serves an exported network to streams of any age through the loader of TensorFlow Serving.
//
//   client MODEL CLIPS ROUNDS OUTPUTS
//
// CLIPS is text: the sizes S T H W C, then the frames of S streams. Each line of ROUNDS lists the
// streams that send their next frame. The program concatenates their rows of the states, runs one
// step, and splits the rows again. OUTPUTS gets a line per output, stream, and frame:
//
//   name stream frame values

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor_util.h"

using tensorflow::Tensor;
using Tensors = std::map<std::string, Tensor>;

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << status.ToString() << std::endl;
  std::exit(1);
}

Tensors Call(const tensorflow::SavedModelBundle& model, const std::string& key,
             const Tensors& inputs) {
  const auto& signature = model.GetSignatures().at(key);
  std::vector<std::pair<std::string, Tensor>> feeds;
  for (const auto& [name, info] : signature.inputs()) {
    feeds.emplace_back(info.name(), inputs.at(name));
  }
  std::vector<std::string> names, fetches;
  for (const auto& [name, info] : signature.outputs()) {
    names.push_back(name);
    fetches.push_back(info.name());
  }
  std::vector<Tensor> values;
  Check(model.GetSession()->Run(feeds, fetches, {}, &values));
  Tensors outputs;
  for (size_t i = 0; i < names.size(); ++i) outputs[names[i]] = values[i];
  return outputs;
}

int main(int argc, char** argv) {
  tensorflow::SavedModelBundle model;
  tensorflow::SessionOptions options;
  options.config.set_intra_op_parallelism_threads(1);
  options.config.set_inter_op_parallelism_threads(1);
  Check(tensorflow::LoadSavedModel(options, {}, argv[1], {"serve"}, &model));

  std::ifstream clips(argv[2]), rounds(argv[3]);
  std::ofstream results(argv[4]);
  results.precision(9);
  int64_t streams, frames, height, width, channels;
  clips >> streams >> frames >> height >> width >> channels;
  Tensor video(tensorflow::DT_FLOAT, {streams * frames, height, width, channels});
  for (int64_t i = 0; i < video.NumElements(); ++i) clips >> video.flat<float>()(i);

  std::vector<Tensors> rows(streams);
  std::vector<int64_t> sent(streams);
  for (std::string line; std::getline(rounds, line);) {
    std::istringstream text(line);
    std::vector<int64_t> batch;
    for (int64_t stream; text >> stream;) batch.push_back(stream);

    std::map<std::string, std::vector<Tensor>> parts;
    for (int64_t stream : batch) {
      if (rows[stream].empty()) {
        Tensor one(tensorflow::DT_INT32, {});
        one.scalar<int32_t>()() = 1;
        rows[stream] = Call(model, "init_states", {{"batch_size", one}});
      }
      for (const auto& [name, row] : rows[stream]) parts[name].push_back(row);
      const int64_t frame = stream * frames + sent[stream];
      parts["video"].push_back(video.Slice(frame, frame + 1));
    }
    Tensors inputs;
    for (const auto& [name, part] : parts) Check(tensorflow::tensor::Concat(part, &inputs[name]));

    for (const auto& [name, value] : Call(model, "step", inputs)) {
      std::vector<Tensor> split;
      const std::vector<int64_t> sizes(batch.size(), 1);
      Check(tensorflow::tensor::Split(value, sizes, &split));
      for (size_t i = 0; i < batch.size(); ++i) {
        if (inputs.count(name)) {
          rows[batch[i]][name] = split[i];
          continue;
        }
        results << name << ' ' << batch[i] << ' ' << sent[batch[i]];
        for (int64_t j = 0; j < split[i].NumElements(); ++j) {
          results << ' ' << split[i].flat<float>()(j);
        }
        results << '\n';
      }
    }
    for (int64_t stream : batch) ++sent[stream];
  }
}
