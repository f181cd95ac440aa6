#include "InterpretTiles.h"

#include "TileMachine.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

namespace {

int64_t floor_div(int64_t a, int64_t b) {
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/** Walks blocks of rows and tiles of the stream. */
class Interpreter {
    const TileProgram &program;
    const bool ignore_verdicts;
    TileMachine machine;

    void summarise(const StreamPass &pass, const std::string &axis);
    void for_each_point(size_t axis, const std::function<void()> &body);
    void for_each_row_block(const std::function<void()> &body);
    void for_each_stream_tile(const StreamPass &pass, int part, int parts,
                              const std::function<void(int, TileVerdict)> &body);
    void walk(const StreamPass &pass, int part, int parts);
    void run_pass(const StreamPass &pass);

public:
    Interpreter(const TileProgram &program, const TileArguments &arguments, const InterpretOptions &options)
        : program(program), ignore_verdicts(options.ignore_verdicts), machine(program, arguments, options.arithmetic) {
    }

    void run();
    TileMap map_of(const StreamPass &pass, const std::map<std::string, int> &at);
};

void Interpreter::summarise(const StreamPass &pass, const std::string &axis) {
    const TileRange tile = machine.tiles.at(axis);
    for (const Summary &s : pass.mask.summaries) {
        if (s.axis != axis) {
            continue;
        }
        const Lanes lanes = machine.evaluate(s.load, Points{{{axis, (int)(tile.hi - tile.lo + 1)}}});
        double least = lanes.as_double(0), greatest = least;
        for (size_t p = 1; p < lanes.size(); p++) {
            least = std::min(least, lanes.as_double(p));
            greatest = std::max(greatest, lanes.as_double(p));
        }
        machine.summaries[s.name + ".min"] = least;
        machine.summaries[s.name + ".max"] = greatest;
    }
}

/** Calls body for the visited tiles of a part of the stream in order, with their corners set. */
void Interpreter::for_each_stream_tile(const StreamPass &pass, int part, int parts,
                                       const std::function<void(int, TileVerdict)> &body) {
    const Axis &stream = program.stream;
    const TileRange domain = machine.domain_of(stream);
    const int64_t size = program.stream_tile, count = (domain.hi - domain.lo + size) / size;
    int64_t first = 0, last = count - 1;
    if (!ignore_verdicts && pass.mask.begin.defined()) {
        first = std::max(first, floor_div(machine.evaluate_integer(pass.mask.begin) - domain.lo, size));
    }
    if (!ignore_verdicts && pass.mask.end.defined()) {
        last = std::min(last, floor_div(machine.evaluate_integer(pass.mask.end) - 1 - domain.lo, size));
    }
    const int64_t share = std::max<int64_t>(0, (last - first + parts) / parts);
    first += part * share;
    last = std::min(last, first + share - 1);
    for (int64_t t = first; t <= last; t++) {
        const int64_t lo = domain.lo + t * size;
        machine.tiles[stream.name] = {lo, std::min(domain.hi, lo + size - 1), lo};
        TileVerdict verdict = TileVerdict::Partial;
        if (!ignore_verdicts) {
            summarise(pass, stream.name);
            const bool dead = !pass.mask.contiguous && machine.evaluate_bool(pass.mask.dead);
            verdict = dead                                    ? TileVerdict::Dead
                      : machine.evaluate_bool(pass.mask.full) ? TileVerdict::Full
                                                              : TileVerdict::Partial;
        }
        body((int)t, verdict);
    }
}

void Interpreter::walk(const StreamPass &pass, int part, int parts) {
    machine.run(pass.prologue, pass.started.defined() && machine.evaluate_bool(pass.started));
    for_each_stream_tile(pass, part, parts, [&](int, TileVerdict verdict) {
        if (verdict != TileVerdict::Dead) {
            machine.run(pass.step, verdict == TileVerdict::Partial);
        }
    });
}

void Interpreter::run_pass(const StreamPass &pass) {
    summarise(pass, program.query.name);
    if (program.parts == 1) {
        walk(pass, 0, 1);
    } else {
        std::vector<std::map<std::string, Lanes>> found;
        for (int part = 0; part < program.parts; part++) {
            machine.values.clear();
            walk(pass, part, program.parts);
            found.push_back(machine.values);
        }
        machine.values.clear();
        machine.run(pass.prologue, true);
        for (std::map<std::string, Lanes> &values : found) {
            for (const std::string &name : pass.state) {
                machine.values[other_part(name)] = values.at(name);
            }
            machine.run(pass.merge, true);
        }
    }
    machine.run(pass.epilogue, true);
}

void Interpreter::for_each_row_block(const std::function<void()> &body) {
    const TileRange domain = machine.domain_of(program.query);
    const int size = program.query_tile;
    for (int64_t lo = domain.lo; lo <= domain.hi; lo += size) {
        machine.tiles[program.query.name] = {lo, std::min(domain.hi, lo + size - 1), lo};
        body();
    }
}

void Interpreter::for_each_point(size_t axis, const std::function<void()> &body) {
    if (axis == program.grid.size()) {
        body();
        return;
    }
    const TileRange domain = machine.domain_of(program.grid[axis]);
    for (int64_t x = domain.lo; x <= domain.hi; x++) {
        machine.point[program.grid[axis].name] = x;
        for_each_point(axis + 1, body);
    }
}

void Interpreter::run() {
    for_each_point(0, [&] {
        for_each_row_block([&] {
            machine.values.clear();
            for (const StreamPass &pass : program.passes) {
                run_pass(pass);
            }
        });
    });
}

TileMap Interpreter::map_of(const StreamPass &pass, const std::map<std::string, int> &at) {
    for (const Axis &a : program.grid) {
        machine.point[a.name] = at.count(a.name) ? at.at(a.name) : machine.domain_of(a).lo;
    }
    const TileRange domain = machine.domain_of(program.stream);
    const int64_t size = program.stream_tile;
    TileMap map{program.query_tile, program.stream_tile, {}};
    for_each_row_block([&] {
        std::vector<TileVerdict> row((domain.hi - domain.lo + size) / size, TileVerdict::Dead);
        summarise(pass, program.query.name);
        for_each_stream_tile(pass, 0, 1, [&](int tile, TileVerdict verdict) { row[tile] = verdict; });
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

namespace {

/** The arguments with the arrays of sums ahead beside them. */
TileArguments with_sums(const SumsAhead &ahead, const TileArguments &arguments, const InterpretOptions &options) {
    TileArguments all = arguments;
    TileMachine machine(ahead.program, arguments, options.arithmetic);
    for (const Output &array : ahead.program.outputs) {
        std::vector<int> sizes;
        for (const std::string &a : array.axes) {
            const TileRange domain = machine.domain_of(ahead.program.axis(a));
            sizes.push_back((int)(domain.hi - domain.lo + 1));
        }
        const bool exact = options.arithmetic == Arithmetic::Exact;
        all.buffers[array.name] = Halide::Buffer<>(exact ? Halide::Float(64) : array.type, sizes);
        for (size_t d = 0; d < array.axes.size(); d++) {
            const int64_t min = machine.domain_of(ahead.program.axis(array.axes[d])).lo;
            all.buffers[array.name].raw_buffer()->dim[d].min = (int)min;
        }
    }
    interpret_tiles(ahead.program, all, options);
    for (const Output &array : ahead.program.outputs) {
        Halide::Buffer<> &sums = all.buffers[array.name];
        const int64_t elements = ahead.elements(array), entries = (int64_t)sums.number_of_elements() / std::max<int64_t>(1, elements);
        const int64_t chunks = sums.dim((int)(array.axes.size() - ahead.outer(array).size())).extent();
        const auto add = [&](auto *data) {
            for (int64_t entry = 0; entry < entries; entry++) {
                for (int64_t e = 0; e < elements && entry % chunks != 0; e++) {
                    data[entry * elements + e] += data[(entry - 1) * elements + e];
                }
            }
        };
        sums.type().bits() == 64 ? add((double *)sums.data()) : add((float *)sums.data());
    }
    return all;
}

}  // namespace

void interpret_tiles(const TileProgram &program, const TileArguments &arguments, const InterpretOptions &options) {
    if (program.ahead) {
        const TileArguments all = with_sums(*program.ahead, arguments, options);
        Interpreter(program, all, options).run();
        return;
    }
    Interpreter(program, arguments, options).run();
}

TileMap tile_map(const TileProgram &program, size_t pass, const TileArguments &arguments,
                 const std::map<std::string, int> &point) {
    strobe_internal_assert(pass < program.passes.size()) << "no pass " << pass;
    return Interpreter(program, arguments, {}).map_of(program.passes[pass], point);
}

}  // namespace strobe
