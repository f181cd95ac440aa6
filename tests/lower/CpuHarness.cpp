#include "CpuHarness.h"

#include <cmath>
#include <cstring>

namespace strobe::test {

using namespace Halide;

namespace {

/** An element's address. */
uint8_t *address(const Buffer<> &buffer, const std::vector<int> &at) {
    const halide_buffer_t *raw = buffer.raw_buffer();
    int64_t offset = 0;
    for (int n = 0; n < raw->dimensions; n++) {
        offset += int64_t(at[n] - raw->dim[n].min) * raw->dim[n].stride;
    }
    return raw->host + offset * buffer.type().bytes();
}

void set_value(const Buffer<> &buffer, const std::vector<int> &at, double x) {
    uint8_t *p = address(buffer, at);
    const Type t = buffer.type();
    if (t == Float(64)) {
        *reinterpret_cast<double *>(p) = x;
    } else if (t == Float(32)) {
        *reinterpret_cast<float *>(p) = float(x);
    } else if (t == Int(32)) {
        *reinterpret_cast<int32_t *>(p) = int32_t(x);
    } else {
        const uint16_t bits = t.is_bfloat() ? bfloat16_t(float(x)).to_bits() : float16_t(float(x)).to_bits();
        std::memcpy(p, &bits, sizeof(bits));
    }
}

void fill_all(const Buffer<> &buffer, const std::function<double()> &value) {
    for_each_index(buffer, [&](const std::vector<int> &at) { set_value(buffer, at, value()); });
}

double guard_value(Type t) {
    return t.is_float() ? std::nan("") : 123456789.0;
}

double roundoff(Type t) {
    return t.is_bfloat() ? 1.0 / 256 : t.bits() == 16 ? 1.0 / 2048 : t.bits() == 32 ? std::ldexp(1.0, -24) : 0;
}

std::string text_of(const std::vector<int> &at) {
    std::ostringstream s;
    for (int x : at) {
        s << (s.tellp() > 0 ? ", " : "(") << x;
    }
    s << ")";
    return s.str();
}

void schedule_at_root(const std::vector<Func> &outputs) {
    std::vector<Internal::Function> functions;
    for (const Func &f : outputs) {
        functions.push_back(f.function());
    }
    for (auto &entry : Internal::build_environment(functions)) {
        if (entry.second.has_update_definition()) {
            Func(entry.second).compute_root();
        }
    }
}

}  // namespace

double value_at(const Buffer<> &buffer, const std::vector<int> &at) {
    const uint8_t *p = address(buffer, at);
    const Type t = buffer.type();
    if (t == Float(64)) {
        return *reinterpret_cast<const double *>(p);
    }
    if (t == Float(32)) {
        return *reinterpret_cast<const float *>(p);
    }
    if (t == Int(32)) {
        return *reinterpret_cast<const int32_t *>(p);
    }
    uint16_t bits;
    std::memcpy(&bits, p, sizeof(bits));
    return t.is_bfloat() ? float(bfloat16_t::make_from_bits(bits)) : float(float16_t::make_from_bits(bits));
}

void for_each_index(const Buffer<> &buffer, const std::function<void(const std::vector<int> &)> &f) {
    std::vector<int> at;
    for (int n = 0; n < buffer.dimensions(); n++) {
        if (buffer.dim(n).extent() == 0) {
            return;
        }
        at.push_back(buffer.dim(n).min());
    }
    while (true) {
        f(at);
        int n = 0;
        while (n < buffer.dimensions() && ++at[n] > buffer.dim(n).max()) {
            at[n] = buffer.dim(n).min();
            n++;
        }
        if (n == buffer.dimensions()) {
            return;
        }
    }
}

Guarded::Guarded(Type t, const std::vector<int> &sizes, const std::vector<int> &order, int margin) {
    std::vector<int> padded;
    for (int size : sizes) {
        padded.push_back(size + 2 * margin);
    }
    whole = Buffer<>(t, padded, order);
    fill_all(whole, [&] { return guard_value(t); });
    inside = whole;
    for (size_t n = 0; n < sizes.size(); n++) {
        inside.crop((int)n, margin, sizes[n]);
    }
    inside.set_min(std::vector<int>(sizes.size(), 0));
}

int64_t Guarded::overwritten() const {
    int64_t count = 0;
    const int64_t shift = (int64_t)inside.raw_buffer()->dimensions;
    for_each_index(whole, [&](const std::vector<int> &at) {
        bool outside = false;
        for (int n = 0; n < shift; n++) {
            const int margin = (whole.dim(n).extent() - inside.dim(n).extent()) / 2;
            outside |= at[n] < margin || at[n] >= margin + inside.dim(n).extent();
        }
        const double x = value_at(whole, at);
        count += outside && !(std::isnan(x) || x == guard_value(Int(32)));
    });
    return count;
}

CpuProgram::CpuProgram(const Define &define, Type type, int head_dim, int value_dim, int query_tile, int stream_tile,
                       const Lower &lower, int parts, bool exchange)
    : inputs(type, head_dim, value_dim), outputs(define(inputs)) {
    for (const Func &f : outputs) {
        Func(f).output_buffer().dim(0).set_stride(Expr());
        if (f.dimensions() == 4) {
            Func(f).output_buffer().dim(0).set_bounds(0, value_dim);
        }
    }
    const ReductionGraph graph = read_algorithm(outputs);
    const Plan plan = derive_online(graph);
    Choices choices;
    choices.query_tile = query_tile;
    choices.stream_tile = stream_tile;
    choices.parts = parts;
    choices.exchange = exchange;
    program = build_tiles("test", graph, plan, choices);
    verify_tiles(program);
    const Target target = get_host_target();
    const Internal::Stmt nest = run_lower_passes(cpu_passes(), lower(program, choices, target));
    schedule_at_root(outputs);
    pipeline = Pipeline(outputs);
    install_nest(pipeline, nest);
    pipeline.compile_jit(target);
}

void CpuProgram::bind(const std::vector<int> &order, int margin, const Shape &s) {
    std::normal_distribution<double> normal;
    const std::vector<int> sizes[] = {{inputs.head_dim, s.queries, s.heads, s.batches},
                                      {inputs.head_dim, s.keys, s.kv_heads, s.batches},
                                      {inputs.value_dim, s.keys, s.kv_heads, s.batches},
                                      {inputs.value_dim, s.keys, s.queries, s.batches}};
    buffers.clear();
    ImageParam *params[] = {&inputs.q, &inputs.k, &inputs.v, &inputs.pair};
    for (int n = 0; n < 4; n++) {
        Guarded g(inputs.type, sizes[n], order, margin);
        fill_all(g.inside, [&] { return normal(random); });
        params[n]->set(g.inside);
        buffers[params[n]->name()] = g;
    }
    Guarded bias(Float(32), {s.keys, s.queries}, {0, 1}, margin);
    fill_all(bias.inside, [&] { return normal(random); });
    inputs.bias.set(bias.inside);
    buffers["bias"] = bias;
    Guarded document(Int(32), {std::max(s.queries, s.keys), s.batches}, {0, 1}, margin);
    int id = 0;
    fill_all(document.inside, [&] { return double(id += random() % 29 == 0); });
    inputs.document.set(document.inside);
    buffers["document"] = document;
    for (const Func &f : outputs) {
        std::vector<int> shape = {s.queries, s.heads, s.batches}, places = {0, 1, 2};
        if (f.dimensions() == 4) {
            shape.insert(shape.begin(), inputs.value_dim);
            places = order;
        }
        buffers[f.name()] = Guarded(f.type(), shape, places, margin);
    }
}

void CpuProgram::check(const Shape &shape, const std::vector<int> &order, int margin) {
    std::ostringstream where;
    where << shape << " " << inputs.type << " storage order " << text_of(order) << " margin " << margin;
    SCOPED_TRACE(where.str());
    bind(order, margin, shape);
    TileArguments arguments;
    std::vector<Buffer<>> results;
    for (auto &entry : buffers) {
        arguments.buffers[entry.first] = entry.second.inside;
    }
    for (const Func &f : outputs) {
        results.push_back(buffers.at(f.name()).inside);
    }
    arguments.scalars["scale"] = inputs.scale.get();
    arguments.scalars[inputs.scale.name()] = inputs.scale.get();
    pipeline.realize(Realization(results));

    // The interpreter's own outputs.
    TileArguments declared = arguments, exact = arguments;
    for (const Func &f : outputs) {
        std::vector<int> sizes;
        for (int n = 0; n < f.dimensions(); n++) {
            sizes.push_back(buffers.at(f.name()).inside.dim(n).extent());
        }
        declared.buffers[f.name()] = Buffer<>(f.type(), sizes);
        exact.buffers[f.name()] = Buffer<>(Float(64), sizes);
    }
    interpret_tiles(program, declared);
    InterpretOptions in_double;
    in_double.arithmetic = Arithmetic::Exact;
    interpret_tiles(program, exact, in_double);

    for (const Func &f : outputs) {
        const Guarded &got = buffers.at(f.name());
        EXPECT_EQ(got.overwritten(), 0) << f.name() << " was written outside its bounds";
        double allowed = 0, size = 0;
        for_each_index(got.inside, [&](const std::vector<int> &at) {
            const double e = value_at(exact.buffers[f.name()], at), d = value_at(declared.buffers[f.name()], at);
            if (std::isfinite(e)) {
                allowed = std::max(allowed, 2 * std::abs(e - d));
                size = std::max(size, std::abs(e));
            }
        });
        // The interpreter sums in double; here every addition rounds.
        allowed += size * roundoff(f.type()) + size * 16 * roundoff(Float(32));
        int wrong = 0;
        for_each_index(got.inside, [&](const std::vector<int> &at) {
            const double e = value_at(exact.buffers[f.name()], at), x = value_at(got.inside, at);
            if (!(x == e || std::abs(x - e) <= allowed) && wrong++ < 3) {
                ADD_FAILURE() << f.name() << text_of(at) << ": got " << x << ", expected " << e << " within " << allowed;
            }
        });
        EXPECT_EQ(wrong, 0) << "elements of " << f.name();
    }
}

}  // namespace strobe::test
