// Every shipped algorithm, at ragged sizes: the tile program interpreted in exact
// arithmetic shows that the plan is the algorithm; the compiled one is within the
// error rule of `strobe check`. Both against the algorithm in float64 run by Halide.

#include "driver/AxisLengths.h"
#include "driver/Compile.h"
#include "driver/Reference.h"
#include "tile/InterpretTiles.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace Halide;
using namespace strobe;

namespace {

const std::map<std::string, std::map<std::string, std::string>> further_params = {
    {"ipa", {{"pair_dim", "20"}, {"value_points", "5"}}}, {"block_routing", {{"block", "16"}}}};

const std::map<std::string, double> small_scalars = {{"window", 20}, {"prefix", 13}, {"reach", 11}, {"step", 3},
                                                     {"global", 5},  {"width", 9},   {"length", 19}, {"block", 6}};

struct Case {
    std::string name, dtype;
};

class Algorithms : public testing::TestWithParam<Case> {
protected:
    Problem problem;

    Instance build() {
        const std::string &name = GetParam().name;
        std::map<std::string, std::string> params = {
            {"dtype", GetParam().dtype}, {"head_dim", "24"}, {"value_dim", "16"}};
        const auto more = further_params.find(name);
        if (more != further_params.end()) {
            params.insert(more->second.begin(), more->second.end());
        }
        Instance instance = build_algorithm(name, params, get_host_target());
        problem.scalars.clear();
        for (const auto &[scalar, value] : small_scalars) {
            if (instance.input(scalar)) {
                problem.scalars[scalar] = value;
            }
        }
        bind_inputs(instance, problem);
        return instance;
    }

    void SetUp() override {
        problem.batch = 2;
        problem.heads = problem.kv_heads = 2;
        problem.queries = 39;
        problem.keys = GetParam().name == "block_diffusion" ? 38 : 51;
        problem.seed = 1;
    }

    std::vector<Buffer<>> in_float64() {
        Instance instance = build();
        const std::vector<Func> wide = widen_to_float64(instance.outputs);
        compute_reductions_at_root(wide);
        std::vector<Buffer<>> outputs = make_outputs(instance, wide, problem);
        Pipeline(wide).realize(Realization(outputs), reference_target());
        return outputs;
    }

    /** The tile program in exact arithmetic. */
    std::vector<Buffer<>> interpreted() {
        Instance instance = build();
        const TileProgram program = strobe::compile(instance.outputs, get_host_target()).program;
        std::vector<Buffer<>> outputs;
        TileArguments arguments;
        for (const Buffer<> &b : make_outputs(instance, instance.outputs, problem)) {
            std::vector<int> sizes;
            for (int n = 0; n < b.dimensions(); n++) {
                sizes.push_back(b.dim(n).extent());
            }
            outputs.emplace_back(Float(64), sizes);
            fill(outputs.back(), [](int64_t) { return NAN; });
            arguments.buffers[program.outputs[outputs.size() - 1].name] = outputs.back();
        }
        for (const Parameter &p : instance.inputs) {
            if (p.is_buffer()) {
                arguments.buffers[p.name()] = p.buffer();
            } else {
                arguments.scalars[p.name()] =
                    p.type().is_float() ? static_cast<double>(p.scalar<float>()) : p.scalar<int32_t>();
            }
        }
        InterpretOptions options;
        options.arithmetic = Arithmetic::Exact;
        interpret_tiles(program, arguments, options);
        return outputs;
    }

    std::vector<Buffer<>> run(bool scheduled) {
        Instance instance = build();
        if (scheduled) {
            autoschedule(instance.pipeline, get_host_target());
        } else {
            compute_reductions_at_root(instance.outputs);
        }
        std::vector<Buffer<>> outputs = make_outputs(instance, instance.outputs, problem);
        instance.pipeline.realize(Realization(outputs), scheduled ? get_host_target() : reference_target());
        return outputs;
    }
};

double largest(const Buffer<> &b) {
    double size = 0;
    for (int64_t n = 0; n < int64_t(b.number_of_elements()); n++) {
        const double x = std::abs(element(b, n));
        size = std::isfinite(x) ? std::max(size, x) : size;
    }
    return size;
}

}  // namespace

TEST_P(Algorithms, fused_is_unfused) {
    const std::vector<Buffer<>> exact = in_float64(), plan = interpreted(), compiled = run(true), unfused = run(false);
    for (size_t n = 0; n < exact.size(); n++) {
        const double size = largest(exact[n]);
        const Difference algebra = difference(plan[n], exact[n]);
        EXPECT_LE(algebra.largest, 1e-9 * std::max(1.0, size))
            << "output " << n << " of the tile program at " << algebra.at << ": got " << element(plan[n], algebra.at)
            << ", expected " << element(exact[n], algebra.at);
        const double own = difference(unfused[n], exact[n]).largest;
        const bool statistic = compiled[n].dimensions() < compiled[0].dimensions();
        // Weights are rounded to the tensors' type.
        const Type rounded = statistic ? compiled[n].type() : compiled[0].type();
        const double units = 2 * unit_roundoff(rounded) + 16 * unit_roundoff(Float(32));
        const Difference code = difference(compiled[n], exact[n]);
        EXPECT_LE(code.largest, std::max(2 * own + units * size, statistic ? 1e-3 * std::max(1.0, size) : 0.0))
            << "output " << n << " of the compiled code at " << code.at << ": got " << element(compiled[n], code.at)
            << ", expected " << element(exact[n], code.at);
    }
}

namespace {

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const std::string &name : registered_algorithms()) {
        all.push_back({name, "fp32"});
        all.push_back({name, "bf16"});
    }
    return all;
}

INSTANTIATE_TEST_SUITE_P(, Algorithms, testing::ValuesIn(cases()), [](const testing::TestParamInfo<Case> &info) {
    return info.param.name + "_" + info.param.dtype;
});

}  // namespace
