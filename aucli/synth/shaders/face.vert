#version 330
// Both passes over the same triangles must agree to the last bit, or the depth test flickers.
invariant gl_Position;
in vec3 position; in vec3 normal; in float openness;
in vec2 uv; in float part; in vec3 rest;
uniform mat4 clip_from_model; uniform mat4 view_from_model; uniform mat4 light_from_model;
uniform float shell;
#if @SURFACE == 5
uniform float beard_drop;  // how much longer the beard is at the chin, and how it hangs there
#endif
out vec3 view_position; out vec3 view_normal; out float open_sky; out vec2 at; flat out float kind;
out vec3 rest_position; out vec4 light_position;

void main() {
    vec4 grown = vec4(position + normal * shell, 1.0);
#if @SURFACE == 5
    float chin = (1.0 - smoothstep(0.24, 0.36, uv.y)) * (1.0 - smoothstep(0.1, 0.22, abs(uv.x - 0.5)));
    grown.xyz += shell * chin * beard_drop * (0.5 * normal + vec3(0.0, -0.7, 0.15));
#endif
    gl_Position = clip_from_model * grown;
    view_position = (view_from_model * grown).xyz;
    view_normal = mat3(view_from_model) * normal;
    open_sky = openness; at = uv; kind = part; rest_position = rest;
    light_position = light_from_model * grown;
}
