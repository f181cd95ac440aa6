#include "InterpretTiles.h"

#include "TileArguments.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

struct Range {
    int64_t lo = 0, hi = -1;  // inclusive, clamped to the domain
    int64_t begin = 0;        // the first coordinate of the tile
};

int64_t floor_div(int64_t a, int64_t b) {
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

template<typename T>
T reduced(ReduceOp op, const T *x, int count) {
    T r = x[0];
    for (int k = 1; k < count; k++) {
        switch (op) {
        case ReduceOp::Sum:
            r += x[k];
            break;
        case ReduceOp::Product:
            r *= x[k];
            break;
        case ReduceOp::Max:
        case ReduceOp::Or:
            r = r > x[k] ? r : x[k];
            break;
        case ReduceOp::Min:
        case ReduceOp::And:
            r = r < x[k] ? r : x[k];
            break;
        }
    }
    return r;
}

class Interpreter {
    const TileProgram &program;
    const TileArguments &arguments;
    const InterpretOptions options;

    std::map<std::string, int64_t> point;       // the grid's axes
    std::map<std::string, Range> tiles;         // every other axis
    std::map<std::string, Lanes> values;        // tile values
    std::map<std::string, double> summaries;    // "%doc.j.min"

    /** The points of a tile, outermost dimension first, as strides over its axes. */
    struct Points {
        std::vector<TileDim> dims;
        size_t count() const {
            size_t n = 1;
            for (const TileDim &d : dims) {
                n *= d.size;
            }
            return n;
        }
        /** The offset of point p within a dimension. */
        int at(size_t p, size_t d) const {
            for (size_t k = dims.size() - 1; k > d; k--) {
                p /= dims[k].size;
            }
            return (int)(p % dims[d].size);
        }
    };

    int64_t evaluate_integer(const Expr &e) {
        return evaluate(e, Points{}, false).i[0];
    }
    bool evaluate_bool(const Expr &e) {
        return evaluate_integer(e) != 0;
    }
    Range domain_of(const Axis &a) {
        const int64_t min = evaluate_integer(a.min);
        return {min, min + evaluate_integer(a.extent) - 1, min};
    }

    bool variable(const Variable &v, const Points &points, Lanes &lanes);
    void broadcast(const TileValue &value, const Points &points, Lanes &lanes);
    Lanes evaluate(const Expr &e, const Points &points, bool load_tile);
    void load(const TileOp &op);
    void contract(const TileOp &op);
    void reduce(const TileOp &op);
    void store(const TileOp &op);
    void run(const std::vector<TileOp> &ops, bool partial);
    void summarise(const StreamPass &pass, const std::string &axis);
    void for_each_row_block(const std::function<void()> &body);
    void run_pass(const StreamPass &pass);
    void for_each_point(size_t axis, const std::function<void()> &body);

public:
    Interpreter(const TileProgram &program, const TileArguments &arguments, const InterpretOptions &options)
        : program(program), arguments(arguments), options(options) {
        for (const Axis &c : program.columns) {
            tiles[c.name] = domain_of(c);
        }
    }

    void run();
    TileMap map_of(const StreamPass &pass, const std::map<std::string, int> &at);

    /** Calls body for the tiles of the stream in order, with their corners set. */
    void for_each_stream_tile(const StreamPass &pass, const std::function<void(int, TileVerdict)> &body);
};

/** An axis' coordinates, a tile's corner, a tile value, a summary or an argument. */
bool Interpreter::variable(const Variable &v, const Points &points, Lanes &lanes) {
    const auto set = [&](double x) {
        std::fill(lanes.f.begin(), lanes.f.end(), x);
        std::fill(lanes.i.begin(), lanes.i.end(), (int64_t)x);
        return true;
    };
    for (size_t d = 0; d < points.dims.size(); d++) {
        if (points.dims[d].axis == v.name) {
            for (size_t p = 0; p < lanes.size(); p++) {
                lanes.i[p] = tiles.at(v.name).begin + points.at(p, d);
            }
            return true;
        }
    }
    if (point.count(v.name)) {
        return set((double)point.at(v.name));
    } else if (summaries.count(v.name)) {
        return set(summaries.at(v.name));
    } else if (program.has_value(v.name)) {
        broadcast(program.value(v.name), points, lanes);
        return true;
    }
    for (const auto &tile : tiles) {
        if (v.name == tile.first + ".lo") {
            return set((double)tile.second.lo);
        } else if (v.name == tile.first + ".hi") {
            return set((double)tile.second.hi);
        }
    }
    double x = 0;
    return argument_value(v.name, arguments, x) && set(x);
}

void Interpreter::broadcast(const TileValue &value, const Points &points, Lanes &lanes) {
    auto found = values.find(value.name);
    strobe_internal_assert(found != values.end()) << value.name << " is used before it is defined";
    std::vector<size_t> from(value.dims.size());
    for (size_t d = 0; d < value.dims.size(); d++) {
        const auto same = [&](const TileDim &dim) { return dim.axis == value.dims[d].axis; };
        const auto at = std::find_if(points.dims.begin(), points.dims.end(), same);
        strobe_internal_assert(at != points.dims.end()) << value.name << " has an axis " << value.dims[d].axis
                                                        << " that its user lacks";
        from[d] = at - points.dims.begin();
    }
    for (size_t p = 0; p < lanes.size(); p++) {
        size_t index = 0;
        for (size_t d = 0; d < value.dims.size(); d++) {
            index = index * value.dims[d].size + points.at(p, from[d]);
        }
        if (lanes.type.is_float()) {
            lanes.f[p] = found->second.f[index];
        } else {
            lanes.i[p] = found->second.i[index];
        }
    }
}

/** \p load_tile: elements outside of the inputs are 0; else they are poison, to show that nothing depends on them. */
Lanes Interpreter::evaluate(const Expr &e, const Points &points, bool load_tile) {
    Meaning meaning;
    meaning.points = points.count();
    meaning.arithmetic = options.arithmetic;
    meaning.variable = [&](const Variable &v, Lanes &lanes) { return variable(v, points, lanes); };
    meaning.load = [&](const Call &call, const std::vector<Lanes> &index, Lanes &lanes) {
        const Buffer<> *buffer = buffer_of(call, arguments);
        if (buffer) {
            read_elements(*buffer, index, !load_tile, lanes);
        }
        return buffer != nullptr;
    };
    return evaluate_expr(e, meaning);
}

void Interpreter::load(const TileOp &op) {
    const Points points{program.value(op.dst).dims};
    Lanes lanes = evaluate(op.expr, points, true);
    for (size_t d = 0; d < points.dims.size(); d++) {
        const Range tile = tiles.at(points.dims[d].axis);
        for (size_t p = 0; p < lanes.size(); p++) {
            if (tile.begin + points.at(p, d) > tile.hi) {
                lanes.type.is_float() ? (void)(lanes.f[p] = 0) : (void)(lanes.i[p] = 0);
            }
        }
    }
    values[op.dst] = lanes;
}

void Interpreter::contract(const TileOp &op) {
    const TileValue &dst = program.value(op.dst);
    Points points{dst.dims};
    int size = 0;
    for (const TileDim &d : program.value(op.a).dims) {
        size = d.axis == op.axis ? d.size : size;
    }
    points.dims.push_back({op.axis, size});
    const auto operand = [&](const std::string &name) {
        const TileValue &v = program.value(name);
        Lanes lanes(v.type, points.count());
        broadcast(v, points, lanes);
        return converted_to(op.operand_type, lanes, options.arithmetic);
    };
    const Lanes a = operand(op.a), b = operand(op.b);
    Lanes result = op.accumulate ? values.at(op.dst) : Lanes(dst.type, Points{dst.dims}.count());
    for (size_t m = 0; m < result.size(); m++) {
        double sum = result.f[m];
        for (int k = 0; k < size; k++) {
            sum += a.f[m * size + k] * b.f[m * size + k];
        }
        result.f[m] = options.arithmetic == Arithmetic::Exact ? sum : rounded_to(dst.type, sum);
    }
    values[op.dst] = result;
}

void Interpreter::reduce(const TileOp &op) {
    const TileValue &dst = program.value(op.dst);
    Points points{dst.dims};
    const int size = op.axis == program.query.name ? program.query_tile :
                     op.axis == program.stream.name ? program.stream_tile :
                                                      (int)(tiles.at(op.axis).hi - tiles.at(op.axis).lo + 1);
    points.dims.push_back({op.axis, size});
    const Lanes all = evaluate(op.expr, points, false);
    Lanes result(dst.type, Points{dst.dims}.count());
    for (size_t m = 0; m < result.size(); m++) {
        if (all.type.is_float()) {
            const double x = reduced(op.op, &all.f[m * size], size);
            result.f[m] = options.arithmetic == Arithmetic::Exact ? x : rounded_to(dst.type, x);
        } else {
            result.i[m] = reduced(op.op, &all.i[m * size], size);
        }
    }
    values[op.dst] = result;
}

void Interpreter::store(const TileOp &op) {
    auto buffer = arguments.buffers.find(op.dst);
    if (buffer == arguments.buffers.end()) {
        strobe_runtime_failure() << program.name << ": no buffer was given for output " << op.dst;
    }
    Points points;
    for (const std::string &a : op.out_axes) {
        if (a == program.query.name) {
            points.dims.push_back({a, program.query_tile});
        } else if (!point.count(a)) {
            points.dims.push_back({a, (int)(tiles.at(a).hi - tiles.at(a).lo + 1)});
        }
    }
    const Lanes lanes = evaluate(op.expr, points, false);
    for (size_t p = 0; p < lanes.size(); p++) {
        std::vector<int> at;
        bool inside = true;
        size_t d = 0;
        for (const std::string &a : op.out_axes) {
            if (point.count(a)) {
                at.push_back((int)point.at(a));
                continue;
            }
            at.push_back((int)(tiles.at(a).begin + points.at(p, d++)));
            inside = inside && at.back() <= tiles.at(a).hi;
        }
        if (inside) {
            write_element(buffer->second, at, lanes.as_double(p));
        }
    }
}

void Interpreter::run(const std::vector<TileOp> &ops, bool partial) {
    for (const TileOp &op : ops) {
        if (op.when == TileOp::When::Partial && !partial) {
            continue;
        }
        switch (op.kind) {
        case TileOp::Kind::Load:
            load(op);
            break;
        case TileOp::Kind::Fill:
        case TileOp::Kind::Map: {
            const TileValue &dst = program.value(op.dst);
            values[op.dst] = converted_to(dst.type, evaluate(op.expr, Points{dst.dims}, false), options.arithmetic);
            break;
        }
        case TileOp::Kind::Contract:
            contract(op);
            break;
        case TileOp::Kind::Reduce:
            reduce(op);
            break;
        case TileOp::Kind::Store:
            store(op);
            break;
        }
    }
}

/** The least and greatest value of the summaries' loads over the tile of an axis. */
void Interpreter::summarise(const StreamPass &pass, const std::string &axis) {
    const Range tile = tiles.at(axis);
    for (const Summary &s : pass.mask.summaries) {
        if (s.axis != axis) {
            continue;
        }
        const Lanes lanes = evaluate(s.load, Points{{{axis, (int)(tile.hi - tile.lo + 1)}}}, false);
        double least = lanes.as_double(0), greatest = least;
        for (size_t p = 1; p < lanes.size(); p++) {
            least = std::min(least, lanes.as_double(p));
            greatest = std::max(greatest, lanes.as_double(p));
        }
        summaries[s.name + ".min"] = least;
        summaries[s.name + ".max"] = greatest;
    }
}

void Interpreter::for_each_stream_tile(const StreamPass &pass, const std::function<void(int, TileVerdict)> &body) {
    const Axis &stream = program.stream;
    const Range domain = domain_of(stream);
    const int64_t size = program.stream_tile, count = (domain.hi - domain.lo + size) / size;
    int64_t first = 0, last = count - 1;
    if (!options.ignore_verdicts && pass.mask.begin.defined()) {
        first = std::max(first, floor_div(evaluate_integer(pass.mask.begin) - domain.lo, size));
    }
    if (!options.ignore_verdicts && pass.mask.end.defined()) {
        last = std::min(last, floor_div(evaluate_integer(pass.mask.end) - 1 - domain.lo, size));
    }
    for (int64_t t = first; t <= last; t++) {
        const int64_t lo = domain.lo + t * size;
        tiles[stream.name] = {lo, std::min(domain.hi, lo + size - 1), lo};
        TileVerdict verdict = TileVerdict::Partial;
        if (!options.ignore_verdicts) {
            summarise(pass, stream.name);
            const bool dead = !pass.mask.contiguous && evaluate_bool(pass.mask.dead);
            verdict = dead                           ? TileVerdict::Dead :
                      evaluate_bool(pass.mask.full) ? TileVerdict::Full :
                                                      TileVerdict::Partial;
        }
        body((int)t, verdict);
    }
}

void Interpreter::run_pass(const StreamPass &pass) {
    summarise(pass, program.query.name);
    run(pass.prologue, true);
    for_each_stream_tile(pass, [&](int, TileVerdict verdict) {
        if (verdict != TileVerdict::Dead) {
            run(pass.step, verdict == TileVerdict::Partial);
        }
    });
    run(pass.epilogue, true);
}

void Interpreter::for_each_row_block(const std::function<void()> &body) {
    const Range domain = domain_of(program.query);
    const int size = program.query_tile;
    for (int64_t lo = domain.lo; lo <= domain.hi; lo += size) {
        tiles[program.query.name] = {lo, std::min(domain.hi, lo + size - 1), lo};
        body();
    }
}

void Interpreter::for_each_point(size_t axis, const std::function<void()> &body) {
    if (axis == program.grid.size()) {
        body();
        return;
    }
    const Range domain = domain_of(program.grid[axis]);
    for (int64_t x = domain.lo; x <= domain.hi; x++) {
        point[program.grid[axis].name] = x;
        for_each_point(axis + 1, body);
    }
}

void Interpreter::run() {
    for_each_point(0, [&] {
        for_each_row_block([&] {
            values.clear();
            for (const StreamPass &pass : program.passes) {
                run_pass(pass);
            }
        });
    });
}

TileMap Interpreter::map_of(const StreamPass &pass, const std::map<std::string, int> &at) {
    for (const Axis &a : program.grid) {
        point[a.name] = at.count(a.name) ? at.at(a.name) : domain_of(a).lo;
    }
    const Range domain = domain_of(program.stream);
    const int64_t size = program.stream_tile;
    TileMap map{program.query_tile, program.stream_tile, {}};
    for_each_row_block([&] {
        std::vector<TileVerdict> row((domain.hi - domain.lo + size) / size, TileVerdict::Dead);
        summarise(pass, program.query.name);
        for_each_stream_tile(pass, [&](int tile, TileVerdict verdict) { row[tile] = verdict; });
        map.rows.push_back(row);
    });
    return map;
}

}  // namespace

int TileMap::count(TileVerdict verdict) const {
    int n = 0;
    for (const std::vector<TileVerdict> &row : rows) {
        n += (int)std::count(row.begin(), row.end(), verdict);
    }
    return n;
}

void interpret_tiles(const TileProgram &program, const TileArguments &arguments, const InterpretOptions &options) {
    Interpreter(program, arguments, options).run();
}

TileMap tile_map(const TileProgram &program, size_t pass, const TileArguments &arguments,
                 const std::map<std::string, int> &point) {
    strobe_internal_assert(pass < program.passes.size()) << "no pass " << pass;
    return Interpreter(program, arguments, {}).map_of(program.passes[pass], point);
}

}  // namespace strobe
