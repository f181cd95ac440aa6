// Random attention-like algorithms: the algorithm unscheduled, its tile program
// interpreted in exact arithmetic, and compiled for the CPU give the same.
//
//     test_fuzz                                    a few, always the same ones
//     STROBE_FUZZ_COUNT=500 test_fuzz              more
//     STROBE_FUZZ_SEED=17 test_fuzz                one again, with its graph and its program

#include "algorithm/ReadAlgorithm.h"
#include "driver/AxisLengths.h"
#include "driver/Compile.h"
#include "driver/Reference.h"
#include "schedule/ParseSchedule.h"
#include "strobe/attention.h"
#include "support/Error.h"
#include "tile/InterpretTiles.h"
#include "tile/PrintTiles.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>

using namespace Halide;
using namespace strobe;

namespace {

class RandomAttention {
    std::mt19937 random;
    ImageParam q{Float(32), 4, "q"}, k{Float(32), 4, "k"}, v{Float(32), 4, "v"}, bias{Float(32), 4, "bias"},
        gate{Float(32), 4, "gate"}, slopes{Float(32), 1, "slopes"},
        document{Int(32), 2, "document"}, lengths{Int(32), 1, "lengths"};
    Param<float> scale{"scale", 0.3f, 1e-3f, 10.0f};
    Param<int> window{"window", 7, 0, 1000};
    Var d{"d"}, i{"i"}, j{"j"}, h{"h"}, b{"b"};
    int features, values;

    int pick(int n) {
        return int(random() % unsigned(n));
    }

    /** An element of q or k, perhaps computed from the tensor. */
    Func operand(const ImageParam &t) {
        Func f("operand");
        Var s("s");
        Expr x = t(d, s, h, b);
        switch (pick(6)) {
        case 0:  // a feature map
            f(d, s, h, b) = select(x > 0, x + 1.0f, exp(x));
            break;
        case 1: {  // a norm over the features
            Func squares("squares");
            RDom c(0, features);
            squares(s, h, b) += t(c, s, h, b) * t(c, s, h, b);
            f(d, s, h, b) = x / sqrt(squares(s, h, b) + 0.1f);
            break;
        }
        case 2:  // positions
            f(d, s, h, b) = x * cos(cast<float>(s) * 0.1f) + t((d + 1) % features, s, h, b) * sin(cast<float>(s) * 0.1f);
            break;
        default:
            f(d, s, h, b) = x;
        }
        return f;
    }

    Expr score() {
        RDom c(0, features);
        Func a = operand(q), e = operand(k), dot("dot");
        if (pick(6) == 0) {  // distances
            dot(j, i, h, b) += -(a(c, i, h, b) - e(c, j, h, b)) * (a(c, i, h, b) - e(c, j, h, b));
        } else {
            dot(j, i, h, b) += a(c, i, h, b) * e(c, j, h, b);
        }
        Expr s = dot(j, i, h, b) * scale;
        for (int n = pick(3); n > 0; n--) {
            switch (pick(6)) {
            case 0:
                s = s + bias(j, i, h, b);
                break;
            case 1:
                s = s + slopes(h) * cast<float>(j - i) * 0.1f;
                break;
            case 2:
                s = 3.0f * tanh(s / 3.0f);
                break;
            case 3:
                s = s - 0.01f * cast<float>(abs(i - j));
                break;
            case 4:
                s = max(s, -0.5f);
                break;
            default:
                s = abs(s) - bias(j, i, h, b) * 0.5f;
            }
        }
        return s;
    }

    Expr condition(int depth) {
        if (depth > 0 && pick(2)) {
            Expr x = condition(depth - 1), y = condition(depth - 1);
            switch (pick(3)) {
            case 0:
                return x && y;
            case 1:
                return x || y;
            default:
                return x && !y;
            }
        }
        switch (pick(9)) {
        case 0:
            return i - j <= window;
        case 1:
            return document(i, b) == document(j, b);
        case 2:
            return j < lengths(b);
        case 3:
            return (i - j) % 3 == 0;
        case 4:
            return i / 5 >= j / 5;
        case 5:
            return abs(i % 6 - j % 6) <= 2;
        case 6:
            return j != 4 || i == 2;
        default:
            return j <= i;
        }
    }

    Func row(const char *name, const Expr &body, ReduceOp op = ReduceOp::Sum) {
        RDom all(0, k.dim(1).extent());
        Func of("of"), f(name);
        of(j, i, h, b) = body;
        f(i, h, b) = identity_of(op, body.type());
        f(i, h, b) = combine(op, f(i, h, b), of(all, i, h, b));
        return f;
    }

    /** A weight of each score, and what of a row may be told beside it. */
    Expr weight(const Expr &s, const Expr &mask, bool masked, std::vector<Expr> &rows) {
        const auto where0 = [&](const Expr &e) { return masked ? select(mask, e, 0.0f) : e; };
        switch (pick(5)) {
        case 0:
            return where0(1.0f / (1.0f + exp(-s)));
        case 1: {
            Expr w = where0(max(s, 0.0f));
            Func total = row("total", w);
            rows.push_back(total(i, h, b));
            return w / (total(i, h, b) + 0.5f);
        }
        case 2:
            return where0(s * s);
        default: {
            const Softmax p = softmax(masked ? where(mask, s) : s, k.dim(1).extent());
            Expr w = p.weights(j, i, h, b);
            rows.push_back(select(p.lse(i, h, b) > -1e30f, p.lse(i, h, b), 0.0f));
            rows.push_back(row("squares", w * w)(i, h, b));
            rows.push_back(row("entropy", select(w > 0, w * log(w), 0.0f))(i, h, b));
            rows.push_back(row("greatest", w, ReduceOp::Max)(i, h, b));
            return w;
        }
        }
    }

public:
    Instance instance;
    Problem problem;
    std::string schedule;

    explicit RandomAttention(unsigned seed) : random(seed) {
        features = 1 + pick(9);
        values = 1 + pick(11);
        q.dim(0).set_bounds(0, features);
        k.dim(0).set_bounds(0, features);
        v.dim(0).set_bounds(0, values);
        gate.dim(0).set_bounds(0, values);
        const bool masked = pick(4) != 0;
        const Expr mask = condition(2), s = score();
        std::vector<Expr> rows;
        Expr w = weight(s, mask, masked, rows);
        if (pick(4) == 0) {
            Expr t = score();
            w = w - 0.5f * weight(t, mask, pick(2), rows);
        }
        Func weights("weights"), out("out");
        weights(j, i, h, b) = w;
        RDom all(0, k.dim(1).extent());
        Func sum("sum");
        if (pick(8) == 0) {  // no matrix product
            sum(d, i, h, b) = -std::numeric_limits<float>::infinity();
            sum(d, i, h, b) = max(sum(d, i, h, b), weights(all, i, h, b) + v(d, all, h, b));
        } else {
            sum(d, i, h, b) += weights(all, i, h, b) * v(d, all, h, b);
        }
        Expr result = sum(d, i, h, b);
        if (pick(3) == 0) {
            result = result / (1.0f + exp(-gate(d, i, h, b)));
        }
        if (pick(4) == 0) {
            RDom c(0, values);
            Func norm("norm");
            norm(i, h, b) += sum(c, i, h, b) * sum(c, i, h, b);
            result = result / sqrt(norm(i, h, b) + 0.1f);
        }
        out(d, i, h, b) = result;
        out.output_buffer().dim(0).set_bounds(0, values);
        instance.outputs = {out};
        if (!rows.empty() && pick(2)) {
            Func extra("extra");
            extra(i, h, b) = rows[pick(int(rows.size()))];
            instance.outputs.push_back(extra);
        }
        instance.name = "random";
        instance.pipeline = Pipeline(instance.outputs);
        const std::vector<Argument> arguments = instance.pipeline.infer_arguments();
        for (const ImageParam &p : {q, k, v, bias, gate, slopes, document, lengths}) {
            for (const Argument &a : arguments) {
                if (a.name == p.name()) {
                    instance.inputs.push_back(p.parameter());
                }
            }
        }
        for (const Internal::Parameter &p : {scale.parameter(), window.parameter()}) {
            instance.inputs.push_back(p);
        }
        problem.batch = 1 + pick(2);
        problem.heads = problem.kv_heads = 1 + pick(2);
        problem.queries = 1 + pick(40);
        problem.keys = 1 + pick(50);
        problem.seed = seed;
        bind_inputs(instance, problem);
        const int tiles[] = {8, 16, 32};
        schedule = "tile(i, " + std::to_string(tiles[pick(3)]) + ")\nstream(j, " + std::to_string(tiles[pick(3)]) + ")";
    }

    std::vector<Buffer<>> realize(const std::vector<Func> &outputs, const Target &target) {
        std::vector<Buffer<>> buffers = make_outputs(instance, outputs, problem);
        Pipeline(outputs).realize(Realization(buffers), target);
        return buffers;
    }

    std::vector<Buffer<>> interpret(const TileProgram &program) {
        TileArguments arguments;
        std::vector<Buffer<>> outputs;
        const AxisLengths lengths(instance, problem);
        for (size_t n = 0; n < instance.outputs.size(); n++) {
            outputs.emplace_back(Float(64), lengths.output(n));
            fill(outputs.back(), [](int64_t) { return NAN; });
            arguments.buffers[program.outputs[n].name] = outputs.back();
        }
        for (const Internal::Parameter &p : instance.inputs) {
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
};

double largest(const Buffer<> &b) {
    double size = 1;
    for (int64_t n = 0; n < int64_t(b.number_of_elements()); n++) {
        const double x = std::abs(element(b, n));
        size = std::isfinite(x) ? std::max(size, x) : size;
    }
    return size;
}

void run(unsigned seed, bool show) {
    RandomAttention attention(seed);
    std::ostringstream text;
    text << "STROBE_FUZZ_SEED=" << seed << "\n" << read_algorithm(attention.instance.outputs);
    SCOPED_TRACE(text.str());
    TileProgram program;
    try {
        program = compile(attention.instance.outputs, get_host_target(), parse_schedule(attention.schedule)).program;
    } catch (const UserError &e) {
        FAIL() << "refused: " << e.what();
    }
    text.str("");
    text << program;
    SCOPED_TRACE(text.str());
    if (show) {
        std::cout << read_algorithm(attention.instance.outputs) << program;
    }
    const std::vector<Func> wide = widen_to_float64(attention.instance.outputs);
    compute_reductions_at_root(wide);
    const std::vector<Buffer<>> exact = attention.realize(wide, reference_target());
    const std::vector<Buffer<>> interpreted = attention.interpret(program);

    RandomAttention unscheduled(seed);
    compute_reductions_at_root(unscheduled.instance.outputs);
    const std::vector<Buffer<>> plain = unscheduled.realize(unscheduled.instance.outputs, reference_target());

    autoschedule(attention.instance.pipeline, get_host_target(), parse_schedule(attention.schedule));
    std::vector<Buffer<>> compiled = make_outputs(attention.instance, attention.instance.outputs, attention.problem);
    attention.instance.pipeline.realize(Realization(compiled), get_host_target());

    for (size_t n = 0; n < exact.size(); n++) {
        const double size = largest(exact[n]);
        const Difference algebra = difference(interpreted[n], exact[n]);
        EXPECT_LE(algebra.largest, 1e-9 * size)
            << "the program's output " << n << " at " << algebra.at << ": got "
            << element(interpreted[n], algebra.at) << ", expected " << element(exact[n], algebra.at);
        const Difference code = difference(compiled[n], exact[n]);
        const double own = difference(plain[n], exact[n]).largest;
        EXPECT_LE(code.largest, 2 * own + 32 * unit_roundoff(Float(32)) * size)
            << "the compiled output " << n << " at " << code.at << ": got " << element(compiled[n], code.at)
            << ", expected " << element(exact[n], code.at) << "; unscheduled differs by " << own;
    }
}

int from_environment(const char *name, int otherwise) {
    const char *text = std::getenv(name);
    return text ? std::atoi(text) : otherwise;
}

}  // namespace

TEST(Fuzz, unscheduled_is_interpreted_is_compiled) {
    if (const int seed = from_environment("STROBE_FUZZ_SEED", -1); seed >= 0) {
        run(seed, true);
        return;
    }
    const int count = from_environment("STROBE_FUZZ_COUNT", 12);
    for (int seed = 0; seed < count && !testing::Test::HasFailure(); seed++) {
        run(seed, false);
    }
}
