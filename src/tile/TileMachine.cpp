#include "TileMachine.h"

#include "TileArguments.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

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

}  // namespace

TileMachine::TileMachine(const TileProgram &program, const TileArguments &arguments, Arithmetic arithmetic)
    : program(program), arguments(arguments), arithmetic(arithmetic) {
    for (const Axis &c : program.columns) {
        tiles[c.name] = domain_of(c);
    }
    for (const TileValue &v : program.values) {
        for (const TileDim &d : v.dims) {
            const bool is_column = tiles.count(d.axis) > 0;
            if (is_column && tiles[d.axis].hi - tiles[d.axis].lo + 1 != d.size) {
                strobe_runtime_failure() << program.name << " was compiled for " << d.size << " elements of " << d.axis
                                         << ", but its arguments have " << tiles[d.axis].hi - tiles[d.axis].lo + 1;
            }
        }
    }
}

int64_t TileMachine::evaluate_integer(const Expr &e) {
    return evaluate(e, Points{}).i[0];
}

bool TileMachine::evaluate_bool(const Expr &e) {
    return evaluate_integer(e) != 0;
}

TileRange TileMachine::domain_of(const Axis &a) {
    const int64_t min = evaluate_integer(a.min);
    return {min, min + evaluate_integer(a.extent) - 1, min};
}

bool TileMachine::variable(const Variable &v, const Points &points, Lanes &lanes) {
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

void TileMachine::broadcast(const TileValue &value, const Points &points, Lanes &lanes) {
    auto found = values.find(value.name);
    strobe_internal_assert(found != values.end()) << value.name << " is used before it is defined";
    std::vector<size_t> from(value.dims.size());
    for (size_t d = 0; d < value.dims.size(); d++) {
        const auto same = [&](const TileDim &dim) { return dim.axis == value.dims[d].axis; };
        const auto at = std::find_if(points.dims.begin(), points.dims.end(), same);
        strobe_internal_assert(at != points.dims.end())
            << value.name << " has an axis " << value.dims[d].axis << " that its user lacks";
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

Lanes TileMachine::evaluate(const Expr &e, const Points &points, bool load_tile) {
    Meaning meaning;
    meaning.points = points.count();
    meaning.arithmetic = arithmetic;
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

void TileMachine::load(const TileOp &op) {
    const Points points{program.value(op.dst).dims};
    Lanes lanes = evaluate(op.expr, points, true);
    for (size_t d = 0; d < points.dims.size(); d++) {
        const TileRange tile = tiles.at(points.dims[d].axis);
        for (size_t p = 0; p < lanes.size(); p++) {
            if (tile.begin + points.at(p, d) > tile.hi) {
                lanes.type.is_float() ? (void)(lanes.f[p] = 0) : (void)(lanes.i[p] = 0);
            }
        }
    }
    values[op.dst] = lanes;
}

void TileMachine::contract(const TileOp &op) {
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
        return converted_to(op.operand_type, lanes, arithmetic);
    };
    const Lanes a = operand(op.a), b = operand(op.b);
    Lanes result = op.accumulate ? values.at(op.dst) : Lanes(dst.type, Points{dst.dims}.count());
    for (size_t m = 0; m < result.size(); m++) {
        double sum = result.f[m];
        for (int k = 0; k < size; k++) {
            sum += a.f[m * size + k] * b.f[m * size + k];
        }
        result.f[m] = arithmetic == Arithmetic::Exact ? sum : rounded_to(dst.type, sum);
    }
    values[op.dst] = result;
}

void TileMachine::reduce(const TileOp &op) {
    const TileValue &dst = program.value(op.dst);
    Points points{dst.dims};
    const int size = op.axis == program.query.name    ? program.query_tile
                     : op.axis == program.stream.name ? program.stream_tile
                                                      : (int)(tiles.at(op.axis).hi - tiles.at(op.axis).lo + 1);
    points.dims.push_back({op.axis, size});
    const Lanes all = evaluate(op.expr, points);
    Lanes result(dst.type, Points{dst.dims}.count());
    for (size_t m = 0; m < result.size(); m++) {
        if (all.type.is_float()) {
            const double x = reduced(op.op, &all.f[m * size], size);
            result.f[m] = arithmetic == Arithmetic::Exact ? x : rounded_to(dst.type, x);
        } else {
            result.i[m] = reduced(op.op, &all.i[m * size], size);
        }
    }
    values[op.dst] = result;
}

void TileMachine::scan(const TileOp &op) {
    const TileValue &dst = program.value(op.dst);
    const Points points{dst.dims};
    Lanes lanes = evaluate(op.expr, points);
    size_t along = 1;  // the distance between neighbours along the axis
    for (size_t d = dst.dims.size(); d-- > 0 && dst.dims[d].axis != op.axis;) {
        along *= dst.dims[d].size;
    }
    for (size_t d = 0; d < dst.dims.size(); d++) {
        for (size_t p = 0; dst.dims[d].axis == op.axis && p < lanes.size(); p++) {
            if (points.at(p, d) == 0) {
                continue;
            }
            if (lanes.type.is_float()) {
                const double pair[] = {lanes.f[p - along], lanes.f[p]}, x = reduced(op.op, pair, 2);
                lanes.f[p] = arithmetic == Arithmetic::Exact ? x : rounded_to(dst.type, x);
            } else {
                const int64_t pair[] = {lanes.i[p - along], lanes.i[p]};
                lanes.i[p] = reduced(op.op, pair, 2);
            }
        }
    }
    values[op.dst] = lanes;
}

void TileMachine::store(const TileOp &op) {
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
    const Lanes lanes = evaluate(op.expr, points);
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

void TileMachine::run(const std::vector<TileOp> &ops, bool partial) {
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
            values[op.dst] = converted_to(dst.type, evaluate(op.expr, Points{dst.dims}), arithmetic);
            break;
        }
        case TileOp::Kind::Contract:
            contract(op);
            break;
        case TileOp::Kind::Reduce:
            reduce(op);
            break;
        case TileOp::Kind::Scan:
            scan(op);
            break;
        case TileOp::Kind::Store:
            store(op);
            break;
        }
    }
}

/** The least and greatest value of the summaries' loads over the tile of an axis. */

}  // namespace strobe
