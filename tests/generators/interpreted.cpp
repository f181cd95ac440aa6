// Every shipped algorithm, at ragged sizes and under several schedules, against the
// algorithm in float64 run by Halide: the tile program interpreted in exact arithmetic
// shows that the plan is the algorithm; the compiled code and the blocks of GPU threads
// (the general form), run serially on the CPU, are within the error rule of `strobe check`.

#include "driver/Compile.h"
#include "driver/CompileGeneral.h"
#include "driver/ErrorRule.h"
#include "driver/Problem.h"
#include "driver/Reference.h"
#include "lower/Lower.h"
#include "lower/ReplaceNest.h"
#include "lower/simt/LowerSimt.h"
#include "schedule/ParseSchedule.h"
#include "schedule/ResolveNames.h"
#include "support/Error.h"
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
        problem.heads = 4;
        problem.kv_heads = GetParam().name == "differential_full" ? 4 : 2;  // its heads have no groups
        problem.queries = 39;
        problem.keys = GetParam().name == "block_diffusion" ? 38 : 51;
        problem.seed = 1;
    }

    std::vector<Buffer<>> run(Instance &instance, Pipeline pipeline, const std::vector<Func> &outputs,
                              const Target &target) {
        std::vector<Buffer<>> results = make_outputs(instance, outputs, problem);
        pipeline.realize(Realization(results), target);
        return results;
    }
    std::vector<Buffer<>> unfused() {
        Instance instance = build();
        const std::vector<Func> rounded =
            round_operands(instance.outputs, strobe::compile(build().outputs, get_host_target()).program);
        compute_reductions_at_root(rounded);
        return run(instance, Pipeline(rounded), rounded, reference_target());
    }
    std::vector<Buffer<>> in_float64() {
        Instance instance = build();
        const std::vector<Func> wide = widen_to_float64(instance.outputs);
        compute_reductions_at_root(wide);
        return run(instance, Pipeline(wide), wide, reference_target());
    }

    /** Tiles of the rows and of the stream, whatever the algorithm calls them. */
    std::string tiles(int rows, int stream) {
        const TileProgram p = strobe::compile(build().outputs, get_host_target()).program;
        std::ostringstream text;
        text << "tile(" << base_name(p.query.name) << ", " << rows << ") stream(" << base_name(p.stream.name) << ", "
             << stream << ") ";
        return text.str();
    }

    /** These tiles with the stream in parts; "" if its walks need the tiles in order, and are refused. */
    std::string parts(const std::string &tiles, int parts) {
        const TileProgram p = strobe::compile(build().outputs, get_host_target()).program;
        const std::string schedule =
            tiles + "split(" + base_name(p.stream.name) + ", " + std::to_string(parts) + ")";
        const std::vector<TileOp> &step = p.passes[0].step;
        const bool ordered =
            std::any_of(step.begin(), step.end(), [](const TileOp &op) { return op.kind == TileOp::Kind::Scan; });
        if (p.passes.size() == 1 && !ordered) {
            return schedule;
        }
        try {
            strobe::compile(build().outputs, get_host_target(), parse_schedule(schedule));
            ADD_FAILURE() << schedule << " was not refused";
        } catch (const UserError &e) {
            EXPECT_NE(std::string(e.what()).find("can't split"), std::string::npos) << e.what();
        }
        return "";
    }

    /** The tile program in exact arithmetic. */
    std::vector<Buffer<>> interpreted(const std::string &schedule) {
        Instance instance = build();
        const TileProgram program =
            strobe::compile(instance.outputs, get_host_target(), parse_schedule(schedule)).program;
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

    std::vector<Buffer<>> compiled(const std::string &schedule) {
        Instance instance = build();
        autoschedule(instance.pipeline, get_host_target(), parse_schedule(schedule));
        return run(instance, instance.pipeline, instance.outputs, get_host_target());
    }

    std::vector<Buffer<>> blocks_of_threads(const std::string &tiles) {
        Instance instance = build();
        const TileProgram program =
            compile_general(instance.outputs, capability_of("sm_90a"), parse_schedule("kernel(general) " + tiles))
                .program;
        const Internal::Stmt nest = run_lower_passes(cpu_passes(), lower_simt_serially(program, false));
        compute_reductions_at_root(instance.outputs);
        install_nest(instance.pipeline, nest);
        return run(instance, instance.pipeline, instance.outputs, get_host_target());
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

TEST_P(Algorithms, plans_are_the_algorithm) {
    const std::vector<Buffer<>> exact = in_float64();
    for (const std::string &schedule : {std::string(), tiles(7, 8), tiles(64, 16) + "skip(off)",
                                        parts(tiles(16, 8), 3)}) {
        SCOPED_TRACE(schedule);
        const std::vector<Buffer<>> plan = interpreted(schedule);
        for (size_t n = 0; n < exact.size(); n++) {
            const Difference algebra = difference(plan[n], exact[n]);
            EXPECT_LE(algebra.largest, 1e-9 * std::max(1.0, largest(exact[n])))
                << "output " << n << " at " << algebra.at << ": got " << element(plan[n], algebra.at) << ", expected "
                << element(exact[n], algebra.at);
        }
    }
}

TEST_P(Algorithms, code_obeys_the_error_rule) {
    const std::vector<Buffer<>> exact = in_float64(), plain = unfused();
    const auto check = [&](const std::string &what, const std::vector<Buffer<>> &got) {
        for (size_t n = 0; n < exact.size(); n++) {
            const Verdict v = judge(got[n], plain[n], exact[n]);
            EXPECT_TRUE(v.ok()) << what << ": output " << n << ": largest error " << v.to_float64 << ", allowed "
                                << v.allowed << "; mean error " << v.mean << ", allowed " << v.allowed_mean
                                << "; at element " << v.at << ": got " << (v.at < 0 ? 0 : element(got[n], v.at)) << ", expected "
                                << (v.at < 0 ? 0 : element(exact[n], v.at));
        }
    };
    for (const std::string &schedule : {std::string(), tiles(5, 16), parts(tiles(24, 8), 4)}) {
        check("CPU " + schedule, compiled(schedule));
    }
    for (const std::string &schedule : {tiles(32, 48), parts(tiles(32, 16), 3)}) {
        check("blocks of threads " + schedule, blocks_of_threads(schedule));
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
