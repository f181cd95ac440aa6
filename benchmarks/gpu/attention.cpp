/** \file
 * Every kernel package of a folder at several lengths, under each of its plans:
 *
 *     strobe_bench_gpu --packages=build/packages --benchmark_out=gpu.json
 *
 * <package>/plan:<n>/B:<batch>/S:<length>. Time is that of CUDA events around one
 * launch, after the L2 cache has been cleared; 16 heads. */

#include "Device.h"

#include "strobe/runtime.h"

#include <benchmark/benchmark.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <stdexcept>

using nlohmann::json;

namespace {

constexpr int heads = 16;

/** An opened package. */
struct Package {
    std::string name;
    int head_dim = 0, value_dim = 0;
    std::shared_ptr<strobe_package> handle;
    json description;
};

Package open_package(const std::filesystem::path &path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
    Package package;
    package.name = path.stem().string();
    package.handle.reset(strobe_package_open(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()),
                         strobe_package_close);
    const char *text = package.handle ? strobe_package_describe(package.handle.get()) : nullptr;
    if (!text) {
        throw std::runtime_error(path.string() + ": " + strobe_last_error());
    }
    package.description = json::parse(text);
    // <algorithm>_<type>_<head dim>[_<value dim>][_<schedule>]
    std::vector<int> numbers;
    std::string word;
    for (const char c : package.name + "_") {
        if (c != '_') {
            word += c;
        } else {
            const bool digits = !word.empty() && std::all_of(word.begin(), word.end(), ::isdigit);
            if (digits && numbers.size() < 2) {
                numbers.push_back(std::stoi(word));
            }
            word.clear();
        }
    }
    if (numbers.empty()) {
        throw std::runtime_error(path.string() + ": its name holds no head dimension");
    }
    package.head_dim = numbers.front();
    package.value_dim = numbers.back();
    return package;
}

/** The tensors of one launch, in the package's order. */
class Arguments {
    strobe::Device &device;
    std::mt19937 random{1};

    strobe_tensor describe(const json &buffer, const std::vector<int64_t> &sizes) {
        strobe_tensor tensor = {};
        int64_t stride = 1;
        tensor.rank = static_cast<int32_t>(sizes.size());
        for (size_t d = 0; d < sizes.size(); d++) {
            tensor.sizes[d] = sizes[d];
            tensor.strides[d] = stride;
            stride *= sizes[d];
        }
        const std::string type = buffer["type"];
        tensor.type_code = type == "bf16" ? strobe_bfloat : type == "int32" ? strobe_int : strobe_float;
        tensor.type_bits = type == "fp32" || type == "int32" ? 32 : 16;
        const size_t bytes = static_cast<size_t>(stride) * tensor.type_bits / 8;
        tensor.data = device.allocate(bytes);
        if (!buffer["output"]) {
            const std::vector<char> data = values(type, sizes[0], static_cast<size_t>(stride));
            device.upload(tensor.data, data.data(), bytes);
        }
        return tensor;
    }

    /** Normal 16-bit values, falling powers of two (slopes), or ids of twelve segments. */
    std::vector<char> values(const std::string &type, int64_t row, size_t count) {
        std::vector<char> data(count * (type == "fp32" || type == "int32" ? 4 : 2));
        std::normal_distribution<float> normal;
        for (size_t n = 0; n < count; n++) {
            if (type == "int32") {
                reinterpret_cast<int32_t *>(data.data())[n] = static_cast<int32_t>(n % row * 12 / row);
            } else if (type == "fp32") {
                reinterpret_cast<float *>(data.data())[n] = std::exp2(-8.0f * static_cast<float>(n + 1) / heads);
            } else {
                const float value = normal(random);
                uint32_t bits;
                memcpy(&bits, &value, 4);
                const uint32_t exponent = bits >> 23 & 255, half = (exponent - 112) << 10 | (bits >> 13 & 0x3ff);
                const uint32_t fp16 = (bits >> 16 & 0x8000) | (exponent < 113 ? 0 : half);
                reinterpret_cast<uint16_t *>(data.data())[n] =
                    static_cast<uint16_t>(type == "bf16" ? bits >> 16 : fp16);
            }
        }
        return data;
    }

public:
    std::vector<strobe_tensor> tensors;
    std::vector<double> scalars;

    Arguments(strobe::Device &device, const Package &package, int64_t batch, int64_t length) : device(device) {
        for (const json &buffer : package.description["buffers"]) {
            const std::string name = buffer["name"];
            const int64_t features = name == "q" || name == "k" ? package.head_dim : package.value_dim;
            const int rank = buffer["rank"];
            const std::vector<int64_t> sizes = rank == 4   ? std::vector<int64_t>{features, length, heads, batch}
                                               : rank == 3 ? std::vector<int64_t>{length, heads, batch}
                                               : rank == 2 ? std::vector<int64_t>{length, batch}
                                                           : std::vector<int64_t>{heads};
            tensors.push_back(describe(buffer, sizes));
        }
        for (const json &scalar : package.description["scalars"]) {
            const std::string name = scalar["name"];
            scalars.push_back(name == "scale" ? 1 / std::sqrt(double(package.head_dim)) : name == "cap" ? 30 : 256);
        }
    }
};

void run(benchmark::State &state, strobe::Device &device, const Package &package, int plan, int batch, int length) {
    try {
        Arguments arguments(device, package, batch, length);
        const auto launch = [&] {
            if (strobe_launch(package.handle.get(), arguments.tensors.data(), int(arguments.tensors.size()),
                              arguments.scalars.data(), int(arguments.scalars.size()), nullptr, plan) != 0) {
                throw std::runtime_error(strobe_last_error());
            }
        };
        device.time_cold(launch);
        for (auto _ : state) {
            state.SetIterationTime(device.time_cold(launch) * 1e-3);
        }
        const double features = package.head_dim + package.value_dim;
        const double flops = 2.0 * features * length * length * heads * batch;
        // As if no tile were dead: masked variants can exceed what the device computes.
        state.counters["dense_flops"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
    } catch (const std::exception &error) {
        state.SkipWithError(error.what());
    }
    device.release_all();
}

void register_cases(strobe::Device &device, const std::string &folder) {
    std::vector<std::filesystem::path> paths;
    for (const auto &entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() == ".skp") {
            paths.push_back(entry.path());
        }
    }
    std::sort(paths.begin(), paths.end());
    for (const std::filesystem::path &path : paths) {
        const Package package = open_package(path);
        for (int plan = 0; plan < int(package.description["plans"].size()); plan++) {
            for (const auto &[batch, length] : {std::pair<int, int>{16, 1024}, {4, 4096}, {1, 16384}}) {
                const std::string name = package.name + "/plan:" + std::to_string(plan) +
                                         "/B:" + std::to_string(batch) + "/S:" + std::to_string(length);
                const auto body = [&device, package, plan, batch = batch, length = length](benchmark::State &state) {
                    run(state, device, package, plan, batch, length);
                };
                benchmark::RegisterBenchmark(name.c_str(), body)->Unit(benchmark::kMillisecond)->UseManualTime();
            }
        }
    }
}

}  // namespace

int main(int argc, char **argv) {
    std::string folder = ".";
    const std::string option = "--packages=";
    for (int n = 1; n < argc; n++) {
        if (std::string(argv[n]).compare(0, option.size(), option) == 0) {
            folder = argv[n] + option.size();
            std::rotate(argv + n, argv + n + 1, argv + argc);
            argc--;
            break;
        }
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    try {
        strobe::Device device;
        benchmark::AddCustomContext("device", device.name());
        register_cases(device, folder);
        benchmark::RunSpecifiedBenchmarks();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    benchmark::Shutdown();
    return 0;
}
