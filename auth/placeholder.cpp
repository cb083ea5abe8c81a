// placeholder until the first source is here
