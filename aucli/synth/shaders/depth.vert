#version 330
invariant gl_Position;
in vec3 position; in vec3 normal;
uniform mat4 clip_from_model; uniform float shell;
void main() { gl_Position = clip_from_model * vec4(position + normal * shell, 1.0); }
