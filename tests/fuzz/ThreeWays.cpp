#include "ThreeWays.h"

#include "algorithm/ReadAlgorithm.h"
#include "driver/AxisLengths.h"
#include "driver/Compile.h"
#include "driver/Reference.h"
#include "schedule/ParseSchedule.h"
#include "support/Error.h"
#include "tile/InterpretTiles.h"
#include "tile/PrintTiles.h"

#include <gtest/gtest.h>

#include <cmath>

namespace strobe::test {

using namespace Halide;

namespace {

using Results = std::vector<Buffer<>>;

Results realised(Subject &a, const std::vector<Func> &outputs, const Target &target) {
    Results buffers = make_outputs(a.instance, outputs, a.problem);
    Pipeline(outputs).realize(Realization(buffers), target);
    return buffers;
}

/** In double, and as the algorithm's types say: one Halide pipeline for both. */
void run_unscheduled(Subject &a, Results &exact, Results &plain) {
    const std::vector<Func> wide = widen_to_float64(a.instance.outputs);
    const std::vector<Func> narrow = as_they_are(a.instance.outputs);
    std::vector<Func> all = wide;
    all.insert(all.end(), narrow.begin(), narrow.end());
    compute_reductions_at_root(all);
    exact = make_outputs(a.instance, wide, a.problem);
    plain = make_outputs(a.instance, narrow, a.problem);
    Results both = exact;
    both.insert(both.end(), plain.begin(), plain.end());
    Pipeline(all).realize(Realization(both), reference_target().with_feature(Target::NoAsserts));
}

Results interpreted(Subject &a, const TileProgram &program) {
    TileArguments arguments;
    Results outputs;
    const AxisLengths lengths(a.instance, a.problem);
    for (size_t n = 0; n < a.instance.outputs.size(); n++) {
        outputs.emplace_back(Float(64), lengths.output(n));
        fill(outputs.back(), [](int64_t) { return NAN; });
        arguments.buffers[program.outputs[n].name] = outputs.back();
    }
    for (const Parameter &p : a.instance.inputs) {
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

/** The largest finite element, at least 1. */
double largest(const Buffer<> &b) {
    double size = 1;
    for (int64_t n = 0; n < int64_t(b.number_of_elements()); n++) {
        const double x = std::abs(element(b, n));
        size = std::isfinite(x) && x < 1e30 ? std::max(size, x) : size;
    }
    return size;
}

}  // namespace

void expect_same(const std::string &name, const std::function<Subject()> &make, bool show) {
    Subject attention = make();
    std::ostringstream algorithm, tiles;
    algorithm << name << "\n" << read_algorithm(attention.instance.outputs);
    SCOPED_TRACE(algorithm.str());
    TileProgram program;
    try {
        program = compile(attention.instance.outputs, get_host_target(), parse_schedule(attention.schedule)).program;
    } catch (const UserError &e) {
        FAIL() << "refused: " << e.what();
    }
    tiles << program;
    SCOPED_TRACE(tiles.str());
    if (show) {
        std::cout << algorithm.str() << tiles.str();
    }
    Results exact, plain;
    run_unscheduled(attention, exact, plain);
    const Results exactly = interpreted(attention, program);

    Subject scheduled = make();
    autoschedule(scheduled.instance.pipeline, get_host_target(), parse_schedule(scheduled.schedule));
    Results compiled = make_outputs(scheduled.instance, scheduled.instance.outputs, scheduled.problem);
    scheduled.instance.pipeline.realize(Realization(compiled), get_host_target());

    for (size_t n = 0; n < exact.size(); n++) {
        const double size = largest(exact[n]);
        const Difference algebra = difference(exactly[n], exact[n]);
        EXPECT_LE(algebra.largest, 1e-9 * size)
            << "the program's output " << n << " at " << algebra.at << ": got " << element(exactly[n], algebra.at)
            << ", expected " << element(exact[n], algebra.at);
        const Difference code = difference(compiled[n], exact[n]);
        const double own = difference(plain[n], exact[n]).largest;
        EXPECT_LE(code.largest, 2 * own + 32 * unit_roundoff(Float(32)) * size)
            << "the compiled output " << n << " at " << code.at << ": got " << element(compiled[n], code.at)
            << ", expected " << element(exact[n], code.at) << "; unscheduled differs by " << own;
    }
}

}  // namespace strobe::test
